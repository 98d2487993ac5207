"""The report of a segmentation network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import resnet_tl
from resnet_tl.report.assets import Assets
from resnet_tl.report.page import write_report
from resnet_tl.report.pixels import _confusion, _described, _error_map
from resnet_tl.report.records import RunRecord, read_run
from resnet_tl.structures.evaluation import PixelEvaluation
from resnet_tl.structures.records import IGNORE
from tests.cli.test_segmentation import RECIPE, SAMPLES
from tests.report.conftest import Page


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("pixels") / "run"
    return read_run(resnet_tl.fit(yaml.safe_load(RECIPE), run=folder, **{"data.root": SAMPLES}).path)


def test_the_page_of_a_run(record: RunRecord, tmp_path: Path) -> None:
    write_report(record, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert set(page.attributes("data-picture")) == set(page.pictures)
    assert f"{100 * record.scores['miou']:.1f}\u00a0%" in page.text
    assert page.text.count("of the pixels are wrong") == 6 + 2
    scores_and_classes, _, _ = page.text.partition("Rows are true classes")
    assert not re.search(r"\d\.\d{7}", scores_and_classes), "three decimals, next to a cell"
    assert (page.text.count("Worst: "), page.text.count("Typical: ")) == (6, 2)
    assert page.text.count("looked at for") == 6 + 2
    low, high = (100 * value for value in record.metrics.interval())  # type: ignore[union-attr]
    assert f"{low:.1f} to {high:.1f}" in page.text


def test_a_cell_shows_the_images_with_most_of_its_pixels(record: RunRecord) -> None:
    evaluation = record.evaluation
    assert isinstance(evaluation, PixelEvaluation)
    confusions = evaluation.confusions()
    content = _confusion(evaluation, confusions, Assets()).content
    assert sum(content["counts"].values()) == confusions.sum()
    places = {str(key): index for index, key in enumerate(evaluation.keys)}
    for cell, pictures in content["galleries"].items():
        shown = [confusions[places[picture.title]][cell] for picture in pictures]
        assert shown == sorted((each[cell] for each in confusions if each[cell]), reverse=True)[: len(shown)]
        assert shown


def test_wrong_pixels_are_red_and_ignored_ones_are_not(record: RunRecord) -> None:
    pixels = np.full((2, 2, 3), 100, np.uint8)
    drawn = _error_map(pixels, np.array([[0, 1], [IGNORE, 1]], np.uint8), np.array([[0, 0], [1, 1]], np.uint8))
    assert drawn[0, 1].tolist() == [230, 50, 50]
    assert drawn[0, 0].tolist() == drawn[1, 1].tolist() == [190, 190, 190]
    assert drawn[1, 0].tolist() == [63, 63, 63]


def test_an_image_is_described_by_its_largest_confusions(record: RunRecord) -> None:
    evaluation = record.evaluation
    assert isinstance(evaluation, PixelEvaluation)
    table = np.zeros((len(evaluation.classes),) * 2, np.int64)
    table[0, 0], table[0, 1], table[1, 0] = 70, 20, 10
    first, second = evaluation.classes[:2]
    text = _described(evaluation, table).replace("\u00a0", " ")
    assert text == f"30.0 % of the pixels are wrong: {first} as {second} 20.0 %, {second} as {first} 10.0 %."
