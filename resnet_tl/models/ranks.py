"""Counts that a loss divides by, the same on every process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist

_counts_are_local = ContextVar("local_counts", default=False)


def mean_over_ranks(count: torch.Tensor) -> torch.Tensor:
    """The mean of `count` (any shape) over all processes, without gradient; `count` itself where there is only one.

    DistributedDataParallel averages gradients, so a sum divided by the mean count is the sum over all processes divided
    by the count of all: the loss of one process with the whole batch, also where a process has nothing to count.
    """
    if _counts_are_local.get() or not (dist.is_available() and dist.is_initialized()):
        return count.detach()
    total = count.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


@contextmanager
def local_counts() -> Iterator[None]:
    """Every process counts for itself: for losses of single images, which it matters to nobody else to know."""
    token = _counts_are_local.set(True)
    try:
        yield
    finally:
        _counts_are_local.reset(token)
