"""The counts that losses divide by, averaged over ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist

_counts_are_local = ContextVar("local_counts", default=False)
_before_count: ContextVar[Callable[[], None]] = ContextVar("before_count", default=lambda: None)


def mean_over_ranks(count: torch.Tensor) -> torch.Tensor:
    """Returns the mean of `count` (any shape) over all ranks, without gradient; `count` itself on a single rank.

    DistributedDataParallel averages gradients. So a sum divided by the mean count has the gradient of the sum over all
    ranks divided by the count of all ranks: that of one process with the whole batch, even if a rank has nothing to
    count.
    """
    if _counts_are_local.get() or not (dist.is_available() and dist.is_initialized()):
        return count.detach()
    _before_count.get()()
    total = count.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


@contextmanager
def local_counts() -> Iterator[None]:
    """Makes `mean_over_ranks` return the count of this rank alone: for losses of single images, which not every rank
    computes at the same time."""
    token = _counts_are_local.set(True)
    try:
        yield
    finally:
        _counts_are_local.reset(token)


@contextmanager
def before_count(call: Callable[[], None]) -> Iterator[None]:
    """Makes `mean_over_ranks` call this before it waits for the other ranks: they may be unable to come, and say so
    there."""
    token = _before_count.set(call)
    try:
        yield
    finally:
        _before_count.reset(token)
