"""predictions.npz is of the weights in best.ckpt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.errors import RunError
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.tracking.predictions import load_evaluation, save_evaluation


def evaluation(step: int) -> ClassEvaluation:
    return ClassEvaluation(
        classes=["ant", "bee"],
        root="photos",
        split="val",
        step=step,
        absent=[],
        keys=np.array(["ant/1.jpg", "bee/été.jpg"]),
        losses=np.zeros(2, np.float32),
        probabilities=np.array([[0.9, 0.1], [0.6, 0.4]], np.float32),
        targets=np.array([0, 1]),
        thresholds=np.zeros(0, np.float32),
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = evaluation(7)
    save_evaluation(written, tmp_path / "predictions.npz")
    read = load_evaluation(tmp_path / "predictions.npz")
    assert isinstance(read, ClassEvaluation)
    assert (read.classes, read.root, read.split, read.step) == (["ant", "bee"], "photos", "val", 7)
    for name in ("keys", "losses", "probabilities", "targets", "thresholds"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.path(1) == "photos/bee/été.jpg"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not an archive"])
def test_other_files_are_errors_of_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"predictions\.npz: not readable as predictions"):
        load_evaluation(tmp_path / "predictions.npz")


def test_they_are_those_of_the_best_epoch(train: Any, tiny: Any, tmp_path: Path) -> None:
    """The second of four epochs is the best; the fourth is only as good."""

    class Recorded(tiny):  # type: ignore[misc]
        def on_validation_epoch_end(self) -> None:
            self.evaluation = evaluation(self.global_step)

    train(Recorded(accuracies=[0.5, 0.7, 0.6, 0.7]), epochs=4)
    best = torch.load(tmp_path / "run/checkpoints/best.ckpt", weights_only=True)["global_step"]
    assert load_evaluation(tmp_path / "run/predictions.npz").step == best == 8
