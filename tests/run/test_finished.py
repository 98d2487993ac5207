"""Runs of earlier, opened by their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_tl.errors import RunError, WeightsError
from resnet_tl.run.finished import Run


def test_metrics_are_those_of_the_summary(tmp_path: Path) -> None:
    content = {"best": {"epoch": 1, "val/acc": 0.75}, "final": {"epoch": 3, "val/acc": 0.5}, "seconds": 4.0}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    run = Run(str(tmp_path))
    assert run == Run(tmp_path)
    assert (run.best, run.final, run.summary) == (content["best"], content["final"], content)


def test_a_damaged_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"best": ')
    with pytest.raises(RunError, match=r"summary\.json: damaged \("):
        _ = Run(tmp_path).best


def test_without_a_checkpoint_there_is_no_predictor(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected checkpoints/best\.ckpt"):
        Run(tmp_path).predictor()
