"""What must be the same on every process."""

from __future__ import annotations

from collections.abc import Iterable

import torch.distributed as dist
from torch import Tensor


def equalise(tensors: Iterable[Tensor]) -> None:
    """Rank 0's values on all ranks, in place; nothing where there is only one.

    DistributedDataParallel does the same to the buffers before every forward pass in training, so for the run it makes
    no difference when or how often this is called: running statistics are rank 0's, of its share of each batch.
    """
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def average(tensors: Iterable[Tensor]) -> None:
    """The mean over the ranks on all of them, in place; nothing where there is only one."""
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor.detach())
            tensor.div_(dist.get_world_size())
