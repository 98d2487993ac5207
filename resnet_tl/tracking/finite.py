"""A loss that is no number ends the run before it reaches the weights, or at least a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.errors import RunError


class FiniteLoss(Callback):
    """Raises a RunError that names the step and the batch's files, on all processes at once.

    On a CPU that is before the gradients. A GPU is not waited for: it is asked a batch later, when the answer is there,
    and before a checkpoint is written.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._asked: tuple[Tensor, Any, int, Any] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._answer(trainer)
        finite = torch.isfinite(loss.detach()).all().int().repeat(2)  # here, and on all processes
        if trainer.world_size > 1:
            dist.all_reduce(finite[1:], dist.ReduceOp.MIN)
        there = torch.cuda.Event() if loss.is_cuda else None
        answer = finite.to("cpu", non_blocking=True)
        if there is not None:
            there.record()
        indices = getattr(self._batch, "indices", None)
        self._asked, self._batch = (answer, there, trainer.global_step, indices), None
        if there is None:
            self._answer(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._answer(trainer)

    def _answer(self, trainer: Trainer) -> None:
        if self._asked is None:
            return
        (finite, there, step, indices), self._asked = self._asked, None
        if there is not None:
            there.synchronize()
        here, everywhere = finite.tolist()
        if not everywhere:
            paths = _on_all(trainer, [] if here else _paths(trainer, indices))
            files = f"; its batch: {', '.join(paths)}" if paths else ""
            raise RunError(
                f"the loss of step {step} is not a number (NaN or infinite){files}; the last good "
                "checkpoint is kept; a lower optimizer.lr or trainer.gradient_clip_val may help"
            )


def _paths(trainer: Trainer, indices: Tensor | None) -> list[str]:
    paths_of = getattr(trainer.datamodule, "paths_of", None)  # type: ignore[attr-defined]
    return [] if paths_of is None or indices is None else paths_of(indices.tolist())


def _on_all(trainer: Trainer, paths: list[str]) -> list[str]:
    """Those of all processes."""
    each: list[Any] = [paths] * trainer.world_size
    if trainer.world_size > 1:
        dist.all_gather_object(each, paths)
    return [path for theirs in each for path in theirs]
