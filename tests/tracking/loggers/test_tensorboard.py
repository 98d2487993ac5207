from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from resnet_tl.errors import RunError
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.loggers.drawings import Confusion, Table
from resnet_tl.tracking.loggers.tensorboard import TensorBoard
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def test_tensorboard_writes_into_the_run_folder(run: RunFolder, tiny: Any, batches: Any) -> None:
    pytest.importorskip("tensorboard")
    chosen = loggers(Tracking(tensorboard=True), run)
    chosen[1].log_metrics({"val/acc": 0.5}, 0)
    chosen[1].save()
    assert list((run.path / "tensorboard").glob("events.*"))


def test_charts_are_images_and_tables_are_text(run: RunFolder) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = loggers(Tracking(tensorboard=True), run)[1]
    assert isinstance(logger, TensorBoard)
    logger.already_sent = {4: {"val/loss"}}
    for step in (4, 9):
        logger.log_metrics({"val/loss": 0.5}, step)
        logger.draw(
            {
                "val/confusion": Confusion(["ant", "bee"], np.eye(2, dtype=np.int64)),
                "val/classes": Table(["class"], [["ant"]]),
            },
            step,
        )
    logger.save()
    events = accumulator.EventAccumulator(str(run.path / "tensorboard")).Reload()
    assert [event.step for event in events.Images("val/confusion")] == [9]
    assert [event.step for event in events.Scalars("val/loss")] == [9]
    assert events.Tags()["tensors"] == ["val/classes/text_summary"]


def test_tensorboard_that_is_not_installed_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install tensorboard$"):
        loggers(Tracking(tensorboard=True), run)
