"""The learning rate range test (arXiv:1506.01186), on copies: nothing that is passed in changes."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer

from resnet_tl.errors import RunError
from resnet_tl.tasks.base import Task
from resnet_tl.tuning.plan import Phase
from resnet_tl.tuning.resume import random_state, set_random_state

FEWEST_STEPS = 4
"""For which the loss has a fall to measure, see `_curve`."""


@dataclass(frozen=True)
class Curve:
    """The smoothed loss at each rate, and the rate where it falls fastest: a good rate, rarely the highest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_rate(
    task: Task,
    data: LightningDataModule,
    phase: Phase,
    *,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 10.0,
    **trainer: Any,
) -> Curve:
    """Trains a copy of `task` in one phase for `steps` batches, at rates that rise evenly on a log scale from `lowest`
    to `highest`, or until the loss is far above its minimum.

    Weights, buffers, modes, optimizer, generators and loaders of `task` and `data` do not change.

    Args:
        steps: at least 4.
        trainer: arguments of the Trainer of these steps: accelerator, precision, ...

    Raises:
        RunError: the loss never fell, or `steps` are too few.
    """
    if steps < FEWEST_STEPS:
        raise RunError(f"find_rate: steps is {steps}, expected {FEWEST_STEPS} or more to see where the loss falls")
    twin, images = copy.deepcopy(task), _twin(data)
    only = replace(phase, epochs=None, restart=False, until="epochs")
    twin.tuning = replace(
        task.tuning, phases=[only], ema=None, recalibrate=0, cache="off", compile="off", allow_untrained=True
    )
    rising = _Rising([lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)])
    with _same_random_state(), _quiet():
        run = Trainer(
            **{"devices": 1, **trainer}, max_epochs=steps, max_steps=steps, limit_val_batches=0, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, callbacks=[rising],
        )  # fmt: skip
        run.fit(twin, images)
    return _curve(rising.rates[: len(rising.losses)], rising.losses)


class _Rising(Callback):
    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rates[len(self.losses)]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        self.losses.append(float(outputs["loss"]))
        smooth = _smooth(self.losses)
        if not math.isfinite(smooth[-1]) or smooth[-1] > 4 * min(smooth):
            trainer.should_stop = True


def _curve(rates: list[float], losses: list[float]) -> Curve:
    """Finds the largest fall of the loss over a fifth of the range, so that single batches do not decide. The first
    tenth is excluded: its mean is over few batches."""
    smooth = np.asarray([loss for loss in _smooth(losses) if math.isfinite(loss)])
    reach = max(len(rates) // 10, 1)
    falls = smooth[reach : -2 * reach] - smooth[3 * reach :]
    if len(falls) == 0 or falls.max() <= 0:
        raise RunError(f"no rate from {rates[0]:.2g} on lowered the loss; check the data and the plan")
    return Curve(rates[: len(smooth)], smooth.tolist(), rates[2 * reach + int(np.argmax(falls))])


def _smooth(losses: list[float], momentum: float = 0.9) -> list[float]:
    """Returns exponential moving averages, without their bias towards zero."""
    mean, smooth = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = momentum * mean + (1 - momentum) * loss
        smooth.append(mean / (1 - momentum**number))
    return smooth


def _twin(data: LightningDataModule) -> LightningDataModule:
    """Returns a data module of the same images and settings without a Trainer, with its own lists of loaders."""
    twin = copy.copy(data)
    for name, value in vars(data).items():
        if isinstance(value, list):
            setattr(twin, name, list(value))
    twin.trainer = None
    return twin


@contextmanager
def _same_random_state() -> Iterator[None]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = random_state(device)
    try:
        yield
    finally:
        set_random_state(before, device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the lines that the Trainer logs about a run."""
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
