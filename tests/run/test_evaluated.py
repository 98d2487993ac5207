"""Exported files and published folders, evaluated as their checkpoints are."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.run.evaluate import evaluate_run
from resnet_tl.run.evaluated import CALIBRATED, Opened
from tests.exported import SAVED, opened

ROOT = Path(__file__).resolve().parents[2]
TASKS = [("half_run", "classification"), ("segmentation.ckpt", "segmentation"), ("detection.ckpt", "detection")]


def evaluate(source: str | Path | Opened, samples: str, *more: tuple[str, Any]) -> dict[str, Any]:
    return evaluate_run("val", source, [], [("data.root", ROOT / "data" / "samples" / samples), *more])


@pytest.mark.parametrize(("name", "samples"), TASKS)
def test_an_exported_file_scores_as_its_checkpoint_but_has_no_loss(name: str, samples: str) -> None:
    ours, theirs = evaluate(SAVED / name, samples), evaluate(opened(name, batch=1), samples)
    assert ours["metrics"].pop("val/loss") > 0
    assert theirs["metrics"] == pytest.approx(ours["metrics"], abs=1e-4)
    assert theirs["images"] == ours["images"]
    assert list(theirs["tables"]) == list(ours["tables"])
    assert theirs["tables"]["confusion"] == ours["tables"]["confusion"]
    assert theirs["notes"] == ours["notes"]


def test_calibrated_probabilities_are_scored_as_they_are_and_a_note_says_so() -> None:
    ours, theirs = (evaluate(opened("half_run", temperature=each), "classification") for each in (None, [0.5]))
    assert (ours["notes"], theirs["notes"]) == ([], [CALIBRATED])
    assert theirs["metrics"]["val/acc"] == ours["metrics"]["val/acc"]
    assert theirs["metrics"]["val/ece"] != pytest.approx(ours["metrics"]["val/ece"], abs=1e-4)


@pytest.mark.parametrize(("name", "samples"), TASKS)
def test_a_file_with_broken_outputs_has_no_score(name: str, samples: str) -> None:
    with pytest.warns(UserWarning, match="^val: outputs are NaN or infinite, so all metrics are NaN"):
        metrics = evaluate(opened(name, broken=True), samples)["metrics"]
    assert metrics
    assert all(math.isnan(value) for value in metrics.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_of_16_bits_is_refused_by_name_or_skipped(tmp_path: Path, workers: int) -> None:
    root = tmp_path / "photos"
    shutil.copytree(ROOT / "data" / "samples" / "classification" / "val", root / "val")
    path = next((root / "val").glob("*/*"))
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 200)
    more = [("data.root", root), ("data.num_workers", workers)]
    with pytest.raises(DataError, match=rf"{path.stem}\.png has 16 bits, but an exported network takes 8"):
        evaluate(opened("half_run"), "classification", *more)
    whole = evaluate(opened("half_run"), "classification")["images"]
    assert evaluate(opened("half_run"), "classification", *more, ("data.on_error", "skip"))["images"] == whole - 1
    assert evaluate(SAVED / "half_run", "classification", *more)["images"] == whole


def test_a_precision_cannot_be_chosen() -> None:
    with pytest.raises(RecipeError, match=r"^trainer\.precision: an exported file computes as it was"):
        evaluate(opened("half_run"), "classification", ("trainer.precision", "bf16-mixed"))
