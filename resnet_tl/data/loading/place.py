"""Where the batches of a data module go: the rank and the device of its Trainer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning import Trainer
from lightning.pytorch.accelerators import CUDAAccelerator

from resnet_tl.errors import RecipeError
from resnet_tl.lightning_internals import replaces_samplers


@dataclass(frozen=True)
class Place:
    """A rank of several, and its device if that is a CUDA GPU; without a Trainer the only rank, on the host."""

    ranks: int = 1
    rank: int = 0
    gpu: torch.device | None = None


def place_of(trainer: Trainer | None) -> Place:
    """Raises RecipeError where Lightning would shard or reorder what the samplers have sharded and ordered."""
    if trainer is None:
        return Place()
    if trainer.world_size > 1 and replaces_samplers(trainer):
        raise RecipeError("several devices need Trainer(use_distributed_sampler=False): the data shards itself")
    overfit = trainer.overfit_batches  # type: ignore[attr-defined]
    if overfit:
        raise RecipeError(f"trainer.overfit_batches is {overfit}, which replaces the samplers; try limit_train_batches")
    on_cuda = isinstance(trainer.accelerator, CUDAAccelerator)
    return Place(trainer.world_size, trainer.global_rank, trainer.strategy.root_device if on_cuda else None)
