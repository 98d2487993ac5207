"""Making tensors equal on all ranks."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
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


def gather(tensor: Tensor) -> Tensor:
    """Returns the tensors of all ranks, of equal shapes, joined along the first dimension; itself on a single rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    each = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(each, tensor.contiguous())
    return torch.cat(each)


def gather_rows(rows: Tensor, shape: torch.Size) -> Tensor | None:
    """Returns, on rank 0 and in its memory, a tensor of which each rank has the rows that `chunk` gives it; None on the
    other ranks. All ranks must call this."""
    rows, group = rows.detach().cpu(), _on_cpu(dist.group.WORLD)
    if dist.get_rank() > 0:
        if len(rows):
            dist.send(rows, 0, group)
        return None
    whole = rows.new_empty(shape)
    own, *others = whole.chunk(dist.get_world_size())
    own.copy_(rows)
    for rank, part in enumerate(others, 1):
        dist.recv(part, rank, group)
    return whole


def on_any(flag: bool) -> bool:
    """Returns whether it is true on any rank, all of which must call this. GPUs are not waited for."""
    return bool(largest(int(flag)))


def largest(number: int) -> int:
    """Returns the largest number of all ranks, all of which must call this. GPUs are not waited for."""
    if not (dist.is_available() and dist.is_initialized()):
        return number
    value = torch.tensor(number)
    dist.all_reduce(value, dist.ReduceOp.MAX, _on_cpu(dist.group.WORLD))
    return int(value)


@functools.lru_cache(maxsize=1)
def _on_cpu(ranks: Any) -> Any:
    """Returns a group of the same ranks for tensors on the CPU."""
    return ranks if dist.get_backend(ranks) == "gloo" else dist.new_group(backend="gloo")
