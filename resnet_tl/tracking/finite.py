"""Stops the run on a NaN or infinite loss, before it reaches the weights, or at least before a checkpoint; warns of a
loss that explodes."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from resnet_tl.errors import RunError

REPAIR = "the last good checkpoint remains; a lower optimizer.lr or trainer.gradient_clip_val may help"

EXPLOSION, FIRST_BATCHES = 1e4, 10
"""A loss this many times the largest of the first batches (or of 1) is warned of."""


class FiniteLoss(Callback):
    """Raises a RunError that names the step and the batch's files, on all ranks at once.

    On a CPU it is raised before the backward pass. A GPU is not waited for: its result is read one batch later, and
    before a checkpoint is written. No loss follows the last step: weights that are NaN or infinite are not saved.
    """

    def __init__(self) -> None:
        self._largest, self._batches = 1.0, 0
        self._batch: Any = None
        self._pending: tuple[Tensor, torch.cuda.Event | None, int, Tensor | None] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._check_pending(trainer)
        if loss.device.type == "cpu" and trainer.world_size == 1 and math.isfinite(value := loss.item()):
            self._watch(value, trainer.global_step)  # the usual case by the shortest way
            self._batch = None
            return
        finite = torch.isfinite(loss.detach()).all().int().repeat(2)  # on this rank, and on all
        if trainer.world_size > 1:
            dist.all_reduce(finite[1:], dist.ReduceOp.MIN)
        copied = torch.cuda.Event() if loss.is_cuda else None
        result = torch.cat([finite.float(), loss.detach().float().view(1)]).to("cpu", non_blocking=True)
        if copied is not None:
            copied.record()
        indices = getattr(self._batch, "indices", None)
        self._pending, self._batch = (result, copied, trainer.global_step, indices), None
        if copied is None:
            self._check_pending(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._check_pending(trainer)
        broken = [name for name, value in pl_module.named_parameters() if not value.isfinite().all()]
        if broken:
            raise RunError(
                f"weights are NaN or infinite after step {trainer.global_step}: {', '.join(broken[:3])}"
                f"{', ...' if broken[3:] else ''}; {REPAIR}"
            )

    def _check_pending(self, trainer: Trainer) -> None:
        if self._pending is None:
            return
        (finite, copied, step, indices), self._pending = self._pending, None
        if copied is not None:
            copied.synchronize()
        on_this_rank, on_all, loss = finite.tolist()
        if not on_all:
            paths = _gather(trainer, [] if on_this_rank else _paths(trainer, indices))
            files = f"; its batch: {', '.join(paths)}" if paths else ""
            raise RunError(f"the loss of step {step} is not a number (NaN or infinite){files}; {REPAIR}")
        self._watch(loss, step)

    def _watch(self, loss: float, step: int) -> None:
        """Warns once of a loss far above the first ones."""
        self._batches += 1
        if self._batches <= FIRST_BATCHES:
            self._largest = max(self._largest, abs(loss))
        elif abs(loss) > EXPLOSION * self._largest:
            rank_zero_warn(
                f"the loss of step {step} is {loss:.2g}, far above that of the first steps: training diverges; a lower "
                "optimizer.lr or trainer.gradient_clip_val may help"
            )
            self._largest = math.inf


def _paths(trainer: Trainer, indices: Tensor | None) -> list[str]:
    paths_of = getattr(trainer.datamodule, "paths_of", None)  # type: ignore[attr-defined]
    return [] if paths_of is None or indices is None else paths_of(indices.tolist())


def _gather(trainer: Trainer, paths: list[str]) -> list[str]:
    """The paths of all ranks."""
    each = [paths] * trainer.world_size
    if trainer.world_size > 1:
        dist.all_gather_object(each, paths)
    return [path for of_rank in each for path in of_rank]
