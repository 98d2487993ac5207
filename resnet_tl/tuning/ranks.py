"""Making tensors equal on all ranks."""

from __future__ import annotations

from collections.abc import Iterable

import torch.distributed as dist
from torch import Tensor


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Copies rank 0's values to all ranks, in place; does nothing on a single rank.

    DistributedDataParallel does the same with the buffers before every forward pass in training, so when and how often
    this is called does not change the run: running statistics are rank 0's, of its share of each batch.
    """
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces the tensors by their mean over the ranks, in place; does nothing on a single rank."""
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor.detach())
            tensor.div_(dist.get_world_size())
