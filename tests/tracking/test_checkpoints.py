from __future__ import annotations

import math
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from resnet_tl.errors import RunError
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.run_folder import RunFolder


def checkpoints(run: Path) -> dict[str, dict[str, Any]]:
    folder = run / "checkpoints"
    return {name: torch.load(folder / name, weights_only=True) for name in sorted(os.listdir(folder))}


def test_best_is_the_first_of_the_highest_and_last_the_last(train: Any, tiny: Any, tmp_path: Path) -> None:
    train(tiny([0.5, 0.9, 0.9, 0.7]), epochs=4)
    written = checkpoints(tmp_path / "run")
    assert {name: content["epoch"] for name, content in written.items()} == {"best.ckpt": 1, "last.ckpt": 3}


def test_an_epoch_without_a_score_is_never_the_best(train: Any, tiny: Any, tmp_path: Path) -> None:
    """Nor the first one, which Lightning would save."""
    train(tiny([math.nan, math.nan, math.nan]), name="never")
    assert list(checkpoints(tmp_path / "never")) == ["last.ckpt"]
    train(tiny([math.nan, 0.1, math.nan]))
    assert checkpoints(tmp_path / "run")["best.ckpt"]["epoch"] == 1


def test_checkpoints_know_best_by_the_name_that_it_always_had(tmp_path: Path) -> None:
    plain = ModelCheckpoint(tmp_path, "best", monitor="val/acc", mode="max", enable_version_counter=False)
    assert Best(RunFolder(tmp_path), "val/acc").state_key == plain.state_key


def test_a_resumed_run_ends_as_the_unbroken_one(train: Any, tiny: Any, tmp_path: Path) -> None:
    train(tiny(), name="unbroken")
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny(stop_at=6), name="broken")
    train(tiny(), name="broken", resume=tmp_path / "broken" / "checkpoints" / "last.ckpt")
    unbroken, broken = checkpoints(tmp_path / "unbroken"), checkpoints(tmp_path / "broken")
    assert list(broken) == ["best.ckpt", "last.ckpt"]
    torch.testing.assert_close(
        [broken["last.ckpt"][key] for key in ("state_dict", "optimizer_states")],
        [unbroken["last.ckpt"][key] for key in ("state_dict", "optimizer_states")],
        rtol=0,
        atol=0,
    )
    assert (tmp_path / "broken" / "metrics.csv").read_text() == (tmp_path / "unbroken" / "metrics.csv").read_text()


def test_best_survives_a_resume(train: Any, tiny: Any, tmp_path: Path) -> None:
    claimed = [0.9, 0.5, 0.6]
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny(claimed, stop_at=9))
    train(tiny(claimed), resume=tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert checkpoints(tmp_path / "run")["best.ckpt"]["epoch"] == 0


def test_a_full_disk_stops_the_run_with_a_sentence_and_spares_the_last_checkpoint(
    train: Any, tiny: Any, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class DiskFills(tiny):
        def on_train_epoch_end(self) -> None:
            if self.current_epoch == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2500, hard))

    try:
        with pytest.raises(RunError, match=r"last\.ckpt: cannot be written: File too large$"):
            train(DiskFills([0.9, 0.8, 0.7]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {name: content["epoch"] for name, content in checkpoints(tmp_path / "run").items()} == {
        "best.ckpt": 0,
        "last.ckpt": 0,
    }
