"""Loggers of a resumed run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.rewind import RewindLoggers
from resnet_tl.tracking.loggers.wandb import Wandb
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking
from tests.tracking.loggers.wandb_files import write_wandb_file

Sent = list[tuple[int | None, dict[str, Any]]]


def _resumed(run: RunFolder, monkeypatch: pytest.MonkeyPatch, offline: bool, in_file: list[int]) -> tuple[Wandb, Sent]:
    """W&B's logger of a run of four rows, of which an earlier process has written some, resumed after the second."""
    sent: Sent = []
    experiment = SimpleNamespace(offline=offline, log=lambda values, step=None: sent.append((step, values)))
    monkeypatch.setattr(Wandb, "experiment", experiment)
    metrics, wandb = loggers(Tracking(wandb=True), run)
    assert isinstance(metrics, MetricsCsv)
    assert isinstance(wandb, Wandb)
    write_wandb_file(run.path / "wandb" / f"offline-run-1-{wandb.version}" / "run.wandb", in_file)
    for step in range(4):
        metrics.log_metrics({"epoch": 0, "train/loss": float(step)}, step)
    trainer: Any = SimpleNamespace(loggers=[metrics, wandb])
    RewindLoggers().on_load_checkpoint(trainer, None, {"global_step": 2})  # type: ignore[arg-type]
    assert [line.split(",")[1] for line in metrics.path.read_text().splitlines()[1:]] == ["0", "1"]
    return wandb, sent


@pytest.mark.parametrize("offline", [True, False])
def test_rows_after_the_checkpoint_are_dropped_and_wandb_skips_them(
    offline: bool, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb, sent = _resumed(run, monkeypatch, offline, [0, 1, 2, 3])
    names = {"epoch", "step", "train/loss"}
    assert wandb.already_sent == {2: names, 3: names}
    assert sent == []


def test_rows_that_a_killed_process_did_not_write_are_sent_by_the_next(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb, sent = _resumed(run, monkeypatch, True, [0])
    assert wandb.already_sent == {}
    assert sent == [(1, {"epoch": 0, "train/loss": 1.0, "trainer/global_step": 1})]


def test_a_file_that_is_not_known_is_taken_for_whole(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.tracking.loggers.wandb.next_step", lambda paths: None)
    wandb, sent = _resumed(run, monkeypatch, True, [0])
    assert set(wandb.already_sent) == {2, 3}
    assert sent == []


def test_a_row_is_handed_over_once_the_next_step_is_done(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def log(values: dict[str, Any], step: int, commit: bool = False) -> None:
        done.extend([step] if commit else [])

    monkeypatch.setattr(Wandb, "experiment", SimpleNamespace(log=log))
    chosen = loggers(Tracking(wandb=True), run)
    chosen[1].log_metrics({"train/loss": 1.0}, 4)
    for steps in (5, 5, 6, 7):
        trainer: Any = SimpleNamespace(loggers=chosen, global_step=steps)
        RewindLoggers().on_train_batch_start(trainer, None)  # type: ignore[arg-type]
        assert done == ([4] if steps > 5 else [])
