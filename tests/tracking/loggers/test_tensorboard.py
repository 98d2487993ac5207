from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from resnet_tl.errors import RunError
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def test_tensorboard_writes_into_the_run_folder(run: RunFolder, tiny: Any, batches: Any) -> None:
    pytest.importorskip("tensorboard")
    chosen = loggers(Tracking(tensorboard=True), run)
    chosen[1].log_metrics({"val/acc": 0.5}, 0)
    chosen[1].save()
    assert list((run.path / "tensorboard").glob("events.*"))


def test_tensorboard_that_is_not_installed_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install tensorboard$"):
        loggers(Tracking(tensorboard=True), run)
