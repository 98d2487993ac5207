"""Checkpoints, runs and recipes written in November 2026, before the package's modules were moved, stay usable."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import resnet_tl
from resnet_tl.cli.main import main
from resnet_tl.recipe.build import instantiate_model
from resnet_tl.recipe.schema import import_object
from resnet_tl.run.build import compose
from resnet_tl.structures.records import Level

REPOSITORY = Path(__file__).resolve().parents[2]
SAVED = REPOSITORY / "tests" / "fixtures" / "saved_2026_11"
SAMPLES = REPOSITORY / "data" / "samples"


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return dict(np.load(SAVED / "expected.npz"))


def test_a_classifier_predicts_as_it_did(expected: dict[str, np.ndarray]) -> None:
    files = sorted(map(str, (SAMPLES / "classification/val/cat").glob("*.png")))[:20]
    found = np.stack([each.probabilities for each in resnet_tl.load(str(SAVED / "half_run")).predict(files)])
    np.testing.assert_allclose(found, expected["probabilities"], atol=1e-5)


@pytest.mark.parametrize(("saved", "value"), [("false", "off"), ("true", "frozen")])
def test_what_was_true_or_false_is_a_word(saved: str, value: str) -> None:
    recipe = compose([SAVED / "half_run" / "recipe.yaml"], [("model.tuning.compile", saved)])
    assert recipe["model"]["init_args"]["tuning"]["compile"] == value


def test_a_segmenter_predicts_as_it_did(expected: dict[str, np.ndarray]) -> None:
    files = [SAMPLES / f"segmentation/val/images/0{number}.png" for number in range(3)]
    found = np.stack([each.mask for each in resnet_tl.load(str(SAVED / "segmentation.ckpt")).predict(files)])
    assert (found == expected["masks"]).mean() > 0.9999


def test_a_detector_predicts_as_it_did(expected: dict[str, np.ndarray]) -> None:
    files = [SAMPLES / f"detection/images/val_0{number}.png" for number in range(2)]
    found = resnet_tl.load(str(SAVED / "detection.ckpt")).predict(files)
    for name, tolerance in (("boxes", 1e-2), ("scores", 1e-5), ("labels", 0)):
        values = np.concatenate([getattr(each, name) for each in found])
        np.testing.assert_allclose(values, expected[name], atol=tolerance)


@pytest.mark.parametrize("kind", ["FasterRCNN", "MaskRCNN"])
def test_a_two_stage_detector_of_then_keeps_torchvisions_convention(kind: str) -> None:
    """A checkpoint's recipe names the class by its path and lacks the option; a new recipe names it in a word."""
    for name, aligned in ((f"resnet_tl.models.heads.two_stage.{kind}", False), (kind, True)):
        head = {"class_path": name, "init_args": {"samples": 8}}
        parts = instantiate_model({"backbone": {"name": "resnet_tiny"}, "head": head})
        assert parts["head"]([Level("p2", 8, 4), Level("p3", 8, 8)], ["ant"]).aligned == aligned


def test_a_half_finished_run_resumes(tmp_path: Path) -> None:
    """It was killed in its second epoch; the rest is logged as by the run of then that was let go on."""
    run = tmp_path / "run"
    shutil.copytree(SAVED / "half_run", run)
    samples = str(SAMPLES / "classification")
    assert main(["fit", "--resume", str(run), "--data.root", samples]) == 0
    rows, unbroken = (
        list(csv.DictReader(path.read_text().splitlines()))
        for path in (run / "metrics.csv", SAVED / "whole_metrics.csv")
    )
    assert [row["step"] for row in rows] == [row["step"] for row in unbroken]
    for row, other in zip(rows, unbroken, strict=True):
        assert {name for name in row if row[name]} == {name for name in other if other[name]}
        for name in filter(row.get, row):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=1e-3, abs=1e-5), name


def test_a_recipe_by_full_import_paths_still_builds() -> None:
    assert main(["plan", "-c", str(SAVED / "recipe.yaml"), "--data.root", str(SAMPLES / "classification")]) == 0


def test_every_import_path_of_then_leads_to_a_class() -> None:
    paths = (SAVED / "import_paths.txt").read_text().split()
    assert len(paths) >= 50
    for path in paths:
        assert callable(import_object(path)), path
