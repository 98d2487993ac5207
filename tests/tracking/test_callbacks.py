from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.tracking.callbacks import LogEveryEpoch


@pytest.mark.parametrize(
    ("batches", "accumulated", "expected"), [(3, 1, 3), (3, 2, 2), (500, 1, 50), (math.inf, 1, 50), (1, 4, 1)]
)
def test_at_least_one_row_per_epoch(batches: float, accumulated: int, expected: int) -> None:
    trainer: Any = SimpleNamespace(
        num_training_batches=batches, accumulate_grad_batches=accumulated, log_every_n_steps=50
    )
    LogEveryEpoch().on_train_start(trainer, None)  # type: ignore[arg-type]
    assert trainer.log_every_n_steps == expected
