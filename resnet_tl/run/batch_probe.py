"""Finds the largest micro-batch that fits, and records in a run what its batches go through the network in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RunError
from resnet_tl.files import atomic_write
from resnet_tl.models.ranks import local_counts
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import as_text, read
from resnet_tl.run.trainer import global_batch
from resnet_tl.structures.micro_batches import split
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task, total
from resnet_tl.tasks.micro_batches import NOT_EVEN_ONE, free_memory, is_full
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tuning import prefix
from resnet_tl.tuning.phase_state import PhaseState
from resnet_tl.tuning.ranks import largest
from resnet_tl.tuning.rates import build_optimizer, parameter_groups
from resnet_tl.tuning.resume import random_state, set_random_state


class SettleMicroBatch(Callback):
    """Settles an automatic `trainer.micro_batch` when a run starts, and records in its recipe.yaml what it is, also
    after memory was full.

    Args:
        new: a resumed run takes the micro-batch of its recipe in place of its checkpoint's.
    """

    def __init__(self, run: RunFolder, data: ImageData[Any], *, auto: bool, new: bool = False) -> None:
        self.run, self.data, self.auto, self.new = run, data, auto, new

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        if self.auto and pl_module.micro_batches.size is None:  # a resumed run has its own
            size = largest_micro_batch(pl_module, self.data, trainer)
            pl_module.micro_batches.size = size
            self.data.evaluation_batch_size = min(self.data.evaluation_batch_size, size)
            splits = size < self.data.batch_size
            line = global_batch(self.data.batch_size, trainer, size) if splits else "whole batches fit into memory"
            log_info(f"data.batch_size is auto: {line}")
            self._record(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        if self.new:
            size = pl_module.recipe["trainer"]["micro_batch"]
            if pl_module.compiled is not None and size != pl_module.micro_batches.size:
                pl_module.compiled.start_phase()  # for batches of this size
            pl_module.micro_batches.size = size
            self._record(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, Task)
        if pl_module.micro_batches.size != pl_module.recipe["trainer"]["micro_batch"]:
            self._record(pl_module)

    def _record(self, task: Task) -> None:
        options = {**task.recipe["trainer"], "micro_batch": task.micro_batches.size}
        task.recipe = {**task.recipe, "trainer": options}
        _write_micro_batch(self.run, task.micro_batches.size)


@rank_zero_only
def _write_micro_batch(run: RunFolder, size: int | None) -> None:
    recipe: Any = plain(read(run.recipe))
    recipe["trainer"]["micro_batch"] = size
    with atomic_write(run.recipe) as file:
        file.write(as_text(recipe).encode())


def largest_micro_batch(task: Task, data: ImageData[Any], trainer: Trainer) -> int:
    """Returns the most images, a batch or a half, quarter, ... of it, with which the phase that trains most takes two
    steps on every rank: the second has the optimizer's state.

    The steps are those of a copy of the network; weights, statistics, generators and loaders do not change.

    Raises:
        RunError: not even one image fits.
    """
    batch = trainer.strategy.batch_to_device(data.training_batch())
    before = random_state(task.device)
    with _copied_network(task, trainer.max_epochs or 1), local_counts(), trainer.precision_plugin.forward_context():
        size = data.batch_size
        while size and not _fits(task, batch, size):
            free_memory(task.device)
            size = -(-size // 2) if size > 1 else 0
    free_memory(task.device)
    set_random_state(before, task.device)
    size = -largest(-size)
    if size == 0:
        raise RunError(NOT_EVEN_ONE)
    return size


@contextmanager
def _copied_network(task: Task, epochs: int) -> Iterator[None]:
    """Makes the task use a copy of its network, in the phase that trains most."""
    original, compiled = task.network, task.compiled
    task.network = twin = copy.deepcopy(original)
    for part in twin.modules():
        if isinstance(part, nn.SyncBatchNorm):  # it would wait for ranks that have stopped at another size
            part.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
    task.compiled = None
    try:
        state = PhaseState(task.tuning, twin.stages(), epochs, task)
        stages = list(twin.stages())
        phases = [[stage in phase.trained for stage in stages] for phase in state.plan.phases]
        state.enter(phases.index(max(phases)))  # the earlier a stage, the more of the network is behind it
        prefix.install(twin)
        yield
    finally:
        task.network, task.compiled = original, compiled


def _fits(task: Task, batch: Batch, size: int) -> bool:
    optimizer = build_optimizer(task.optimizer, parameter_groups(task.stages(), task.optimizer.weight_decay))
    try:
        for _ in range(2):
            optimizer.zero_grad()
            total(task.loss_terms(split(task.whole_batch(batch), size)[-1])).backward()
            optimizer.step()
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        return False
    return True
