"""What a run whose head is sharded (`trainer.strategy: fsdp2`) cannot have, and what it does otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from resnet_tl.errors import RecipeError
from resnet_tl.run.batch_size import AUTO
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.fused import FUSED
from resnet_tl.tuning.plan import Plan

FSDP2 = "fsdp2"


def check_sharding(trainer: Mapping[str, Any], task: Task, plan: Plan) -> None:
    """Refuses what needs the head whole, for a resolved `trainer` section that shards it.

    Raises:
        RecipeError: the task, its plan or the section has such a thing.
    """
    if found := next(_unsupported(trainer, task, plan), None):
        raise RecipeError(f"trainer.strategy is {FSDP2}, but {found}, or strategy: ddp")


def _unsupported(trainer: Mapping[str, Any], task: Task, plan: Plan) -> Iterator[str]:
    """Yields what is unsupported, and what is expected in its place."""
    if torch.__version__ < "2.6":
        yield f"torch is {torch.__version__}; expected 2.6 or newer"
    if not isinstance(task, Classification):
        yield f"{type(task).__name__} has no large head to shard; expected Classification"
    if task.backbone.keep_classifier == "known":
        yield "backbone.keep_classifier is known; expected true or false"
    for number, phase in enumerate(plan.phases):
        at, settings = f"tuning.phases[{number}]", phase.settings
        if "head" not in phase.trained or "head" in phase.parts:
            yield f"{at} does not train the whole head; expected it among the stages of train"
        if settings.solver is not None:
            yield f"{at}.solver is {settings.solver}; expected the head to be trained"
        if settings.restore_best:
            yield f"{at}.restore_best is true; expected false"
    tuning, optimizer = task.tuning, task.optimizer
    if tuning.ema is not None:
        yield f"tuning.ema is {tuning.ema}; expected no average"
    if tuning.regularisers or tuning.l2_sp:
        yield "tuning has regularisers; expected none"
    if tuning.compile == "all":
        yield "tuning.compile is all; expected frozen or off"
    if optimizer.name.lower() not in FUSED:
        yield f"optimizer.name is {optimizer.name}; expected {', '.join(FUSED)}"
    if optimizer.fused is True:
        yield "optimizer.fused is true; expected auto"
    if trainer["precision"] == "16-mixed":
        yield "trainer.precision is 16-mixed; expected bf16-mixed or 32-true"
    if trainer["accumulate_grad_batches"] > 1:
        yield f"trainer.accumulate_grad_batches is {trainer['accumulate_grad_batches']}; expected trainer.global_batch"
    if trainer["micro_batch"] == AUTO:
        yield "data.batch_size is auto; expected a number"


def adapt(task: Task) -> None:
    """Sets what a task with a sharded head does otherwise, on all devices."""
    task.micro_batches.recover = False  # ranks wait for each other in the head, also for one whose memory is full
    task.optimizer = replace(task.optimizer, fused=False)  # torch 2.14 has no fused SGD of sharded parameters
