"""A module's own schedule under a plan: begun anew where a phase restarts it, laid over another length on resume."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from resnet_tl.errors import RecipeError

State = dict[str, Any]


def start(trainer: Any, module: nn.Module, spans: Sequence[tuple[int, int]]) -> None:
    """The module's schedule from its beginning over the steps of the first of these `spans` of epochs.

    The others are built too, so that what is wrong with them comes out now.

    Raises:
        RecipeError: the module has a schedule and no way to build it again.
    """
    if not spans or not trainer.lr_scheduler_configs:
        return
    if not hasattr(module, "configure_schedule"):
        raise RecipeError(
            f"tuning.phases restart the schedule, for which {type(module).__name__} needs a method configure_schedule("
            "optimizer, steps, steps_per_epoch) that returns what `lr_scheduler` is in configure_optimizers"
        )
    total = int(trainer.estimated_stepping_batches)  # counts the batches first
    an_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    for span in reversed(spans):  # the last one built is the one that counts
        first, end = (min(epoch * an_epoch, total) for epoch in span)
        for config in trainer.lr_scheduler_configs:
            built = module.configure_schedule(config.scheduler.optimizer, end - first, an_epoch)  # type: ignore[operator]
            config.scheduler = built["scheduler"]


def beginnings(trainer: Any) -> list[State]:
    """The states of schedules that have not begun."""
    return [copy.deepcopy(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs]


def catch_up(trainer: Any, beginnings: Sequence[State]) -> None:
    """Let schedules of a run that is longer or shorter now be where those of its new length are at this step.

    They were loaded from a checkpoint, and with them the old length; `beginnings` are of the new one.
    """
    for config, fresh in zip(trainer.lr_scheduler_configs, beginnings, strict=True):
        scheduler = config.scheduler
        if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):  # it knows no length
            continue
        done = scheduler.last_epoch
        scheduler.load_state_dict(fresh)
        for group, rate in zip(scheduler.optimizer.param_groups, fresh["_last_lr"], strict=True):
            group["lr"] = rate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the optimizer has made no step yet
            for _ in range(done):
                scheduler.step()
