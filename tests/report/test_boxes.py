"""The report of a detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import resnet_tl
from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.report.assets import Assets
from resnet_tl.report.boxes import CROPS, IN_A_CELL, SUREST, WORST, _confusion, _Images, _surest, _worst
from resnet_tl.report.explained import Explained
from resnet_tl.report.page import write_report
from resnet_tl.report.records import read_run
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.cli.test_detection import RECIPE, SAMPLES
from tests.metrics.box_sets import SIDE, box_set
from tests.report.conftest import Page


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> BoxEvaluation:
    root, given = tmp_path_factory.mktemp("boxes"), box_set(images=30)
    for key in given.keys:
        cv2.imwrite(str(root / key), np.full((SIDE, SIDE, 3), 128, np.uint8))
    return replace(given, root=str(root))


def test_a_cell_counts_its_pairs_and_shows_some(evaluation: BoxEvaluation) -> None:
    outcomes, assets = BoxOutcomes.of(evaluation, np.full(4, 0.3)), Assets()
    found = outcomes.found
    content = _confusion(outcomes, _Images(evaluation, 3), assets).content
    assert content["names"] == [*evaluation.classes, "nothing"]
    assert sum(content["counts"].values()) == len(found.objects)
    assert len(assets.pictures) <= CROPS
    for cell, pictures in content["galleries"].items():
        assert len(pictures) <= min(IN_A_CELL, content["counts"][cell])
        assert all(picture.wrong == (cell[0] != cell[1]) for picture in pictures)


def test_the_worst_images_have_the_most_mistakes(evaluation: BoxEvaluation) -> None:
    outcomes = BoxOutcomes.of(evaluation, np.full(4, 0.3))
    found = outcomes.found
    true, predicted = found.classes(evaluation)
    mistakes = np.bincount(found.images(evaluation)[true != predicted], minlength=30)
    section = _worst(outcomes, _Images(evaluation, 3), Assets())
    (gallery,) = section.content["galleries"]
    shown = [int(Path(picture.title).stem) for picture in gallery.pictures]
    assert mistakes[shown].tolist() == sorted(mistakes, reverse=True)[:WORST]
    assert section.lead.startswith(f"{(mistakes == 0).sum()} of 30 images are without an error")


def test_the_most_confident_mistakes_are_shown_without_maps_too(evaluation: BoxEvaluation) -> None:
    outcomes = BoxOutcomes.of(evaluation, np.full(4, 0.3))
    section = _surest(outcomes, _Images(evaluation, 3), Assets(), Explained(None, "Why there are none."))
    (gallery,) = section.content["galleries"]
    scores = [float(picture.lines[0].split()[-1]) for picture in gallery.pictures]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == SUREST
    true, predicted = outcomes.found.classes(evaluation)
    wrong = (true != predicted) & (outcomes.found.detections >= 0)
    assert scores[0] == pytest.approx(evaluation.scores[outcomes.found.detections[wrong]].max(), abs=0.006)
    assert all(picture.wrong and picture.map is None for picture in gallery.pictures)
    assert section.lead == "Why there are none."


def test_the_page_of_a_run(tmp_path: Path) -> None:
    values = {"data.root": SAMPLES, "trainer.max_epochs": 1}
    run = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "run", **values)
    write_report(read_run(run.path), tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    for text in ("Boxes at IoU 0.50", "Masks at IoU 0.75", "map small", "duplicate", "nothing", "points of mAP"):
        assert text in page.text
    assert set(page.attributes("data-picture")) == set(page.pictures)
    assert f"{100 * run.best['val/map']:.1f}\u00a0%" in page.text
