"""A module's own schedule under a plan: restarted by a phase, or continued over another run length on resume."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from resnet_tl.errors import RecipeError

if TYPE_CHECKING:
    from resnet_tl.tuning.protocols import Trainer

State = dict[str, Any]


def start(trainer: Trainer, module: nn.Module, spans: Sequence[tuple[int, int]]) -> None:
    """Starts the module's schedule over the steps of the first of these `spans` of epochs.

    The schedules of the other spans are built too, so that their faults are reported now.

    Raises:
        RecipeError: the module has a schedule but no `configure_schedule` to build it again.
    """
    if not spans or not trainer.lr_scheduler_configs:
        return
    configure_schedule = getattr(module, "configure_schedule", None)
    if configure_schedule is None:
        raise RecipeError(
            f"tuning.phases restart the schedule, for which {type(module).__name__} needs a method configure_schedule("
            "optimizer, steps, steps_per_epoch) that returns what `lr_scheduler` is in configure_optimizers"
        )
    total = int(trainer.estimated_stepping_batches)  # first: it also counts the batches
    steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    for span in reversed(spans):  # building sets the rates, so the first span comes last
        first, end = (min(epoch * steps_per_epoch, total) for epoch in span)
        for config in trainer.lr_scheduler_configs:
            built = configure_schedule(config.scheduler.optimizer, end - first, steps_per_epoch)
            config.scheduler = built["scheduler"]


def initial_states(trainer: Trainer) -> list[State]:
    """Returns copies of the schedulers' states, before their first step."""
    return [copy.deepcopy(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs]


def fast_forward(trainer: Trainer, initial: Sequence[State]) -> None:
    """Moves the schedulers of a run whose length has changed to the current step of the new length.

    They were loaded from a checkpoint, with the old length; `initial` are states of the new one.
    """
    for config, state in zip(trainer.lr_scheduler_configs, initial, strict=True):
        scheduler = config.scheduler
        if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):  # has no length
            continue
        steps = scheduler.last_epoch
        scheduler.load_state_dict(state)
        for group, rate in zip(scheduler.optimizer.param_groups, state["_last_lr"], strict=True):
            group["lr"] = rate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the optimizer has taken no step yet
            for _ in range(steps):
                scheduler.step()
