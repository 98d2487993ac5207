"""Loggers of a resumed run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.rewind import RewindLoggers
from resnet_tl.tracking.loggers.wandb import Wandb


def test_rows_after_the_checkpoint_are_dropped_and_wandb_skips_them(tmp_path: Path) -> None:
    metrics, wandb = MetricsCsv(tmp_path / "metrics.csv"), Wandb.__new__(Wandb)
    for step in range(4):
        metrics.log_metrics({"train/loss": float(step)}, step)
    trainer: Any = SimpleNamespace(loggers=[metrics, wandb])
    RewindLoggers().on_load_checkpoint(trainer, None, {"global_step": 2})  # type: ignore[arg-type]
    assert [line.split(",")[1] for line in metrics.path.read_text().splitlines()[1:]] == ["0", "1"]
    assert wandb.already_sent == {2: {"step", "train/loss"}, 3: {"step", "train/loss"}}
