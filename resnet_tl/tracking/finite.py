"""Stops the run on a NaN or infinite loss, before it reaches the weights, or at least before a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.errors import RunError


class FiniteLoss(Callback):
    """Raises a RunError that names the step and the batch's files, on all ranks at once.

    On a CPU it is raised before the backward pass. A GPU is not waited for: its result is read one batch later, and
    before a checkpoint is written.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._pending: tuple[Tensor, torch.cuda.Event | None, int, Tensor | None] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._check_pending(trainer)
        finite = torch.isfinite(loss.detach()).all().int().repeat(2)  # on this rank, and on all
        if trainer.world_size > 1:
            dist.all_reduce(finite[1:], dist.ReduceOp.MIN)
        copied = torch.cuda.Event() if loss.is_cuda else None
        result = finite.to("cpu", non_blocking=True)
        if copied is not None:
            copied.record()
        indices = getattr(self._batch, "indices", None)
        self._pending, self._batch = (result, copied, trainer.global_step, indices), None
        if copied is None:
            self._check_pending(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._check_pending(trainer)

    def _check_pending(self, trainer: Trainer) -> None:
        if self._pending is None:
            return
        (finite, copied, step, indices), self._pending = self._pending, None
        if copied is not None:
            copied.synchronize()
        on_this_rank, on_all = finite.tolist()
        if not on_all:
            paths = _gather(trainer, [] if on_this_rank else _paths(trainer, indices))
            files = f"; its batch: {', '.join(paths)}" if paths else ""
            raise RunError(
                f"the loss of step {step} is not a number (NaN or infinite){files}; the last good "
                "checkpoint remains; a lower optimizer.lr or trainer.gradient_clip_val may help"
            )


def _paths(trainer: Trainer, indices: Tensor | None) -> list[str]:
    paths_of = getattr(trainer.datamodule, "paths_of", None)  # type: ignore[attr-defined]
    return [] if paths_of is None or indices is None else paths_of(indices.tolist())


def _gather(trainer: Trainer, paths: list[str]) -> list[str]:
    """The paths of all ranks."""
    each = [paths] * trainer.world_size
    if trainer.world_size > 1:
        dist.all_gather_object(each, paths)
    return [path for of_rank in each for path in of_rank]
