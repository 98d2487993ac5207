from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.tracking.summary import git_state


def summary(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "run" / "summary.json").read_text(), parse_constant=pytest.fail)


def test_best_final_and_the_rest(train: Any, tiny: Any, tmp_path: Path) -> None:
    train(tiny([0.5, 0.75, 0.75, 0.25]), epochs=4)
    content = summary(tmp_path)
    speed = "seconds images_per_s waiting shares memory_gb"
    assert " ".join(content) == f"best final epoch step {speed} finished versions git"
    assert set(content["shares"]) == {"training", "waiting for data", "validation", "checkpoints"}
    assert 0.2 < sum(content["shares"].values()) <= 1
    assert 0.05 < content["memory_gb"]["process"] < 100
    assert content["best"].items() >= {"epoch": 1, "step": 8, "val/acc": 0.75}.items()
    assert content["final"].items() >= {"epoch": 3, "step": 16, "val/acc": 0.25}.items()
    assert (content["epoch"], content["step"], content["finished"]) == (4, 16, False)
    assert content["images_per_s"] > 0
    assert content["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_a_stopped_run_has_a_summary_that_says_so(train: Any, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny([0.5, 0.75, 0.25], stop_at=6))
    content = summary(tmp_path)
    assert (content["finished"], content["step"], content["final"]["val/acc"]) == (False, 4, 0.5)


def test_the_best_epoch_survives_a_resume(train: Any, tiny: Any, tmp_path: Path) -> None:
    claimed = [0.875, 0.5, 0.75]
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny(claimed, stop_at=9))
    train(tiny(claimed), resume=tmp_path / "run" / "checkpoints" / "last.ckpt")
    content = summary(tmp_path)
    assert (content["best"]["epoch"], content["final"]["epoch"]) == (0, 2)


def test_nan_is_null_and_never_the_best(train: Any, tiny: Any, tmp_path: Path) -> None:
    train(tiny([math.nan, 0.25, math.nan]))
    content = summary(tmp_path)
    assert (content["best"]["val/acc"], content["final"]["val/acc"]) == (0.25, None)


def test_outside_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_state() is None
