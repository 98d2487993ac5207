"""Batches from workers to the main process through memory that is used again.

PyTorch gives every batch shared memory of its own, whose pages are cleared, mapped and given back batch for batch. That
takes as long as cutting the images from a cache. Here a worker keeps a few segments, which the main process maps once
and gives back by a flag when the last tensor over a batch's images is gone.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from resnet_tl.data.images.dataset import Item
from resnet_tl.structures.records import Batch, Boxes

Collate = Callable[[Sequence[Item]], Batch]
SEGMENTS = 8
"""That a worker keeps at most: those it has made ahead (two), the one in use, and some for who keeps batches longer."""

_live: weakref.WeakValueDictionary[int, SharedMemoryCollate] = weakref.WeakValueDictionary()
_numbers = itertools.count()


class SharedMemoryCollate:
    """`collate` for a DataLoader: the same batches; the images of those made in a worker arrive in its segments.

    A batch that is kept stays as it is: its segment is not written again before every tensor over it is gone.
    """

    def __init__(self, collate: Collate) -> None:
        self.collate = collate
        self._number = next(_numbers)
        self._mine: list[Tensor] = []  # in a worker
        self._known: dict[tuple[int, int], np.ndarray] = {}  # in the main process: (worker's pid, place) -> segment
        _live[self._number] = self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_known": {}}

    def __call__(self, items: Sequence[Item]) -> Batch:
        batch = self.collate(items)
        if get_worker_info() is None or not isinstance(batch.images, Tensor):
            return batch
        return self._lend(batch, batch.images.permute(0, 2, 3, 1).numpy())

    def _lend(self, batch: Batch, images: np.ndarray) -> Any:
        """The batch with its `images` `[N*V, H, W, C]` in a free segment, or as it is where there is none."""
        place, is_new = self._place(images.nbytes)
        if place == SEGMENTS:
            return batch
        segment = self._mine[place]
        _over(segment.numpy(), images.shape, images.dtype)[...] = images
        segment[-1] = True
        others = {name: _inline(value) for name, value in vars(batch).items() if name != "images"}
        key = (os.getpid(), place)
        return _Lent(self._number, key, segment if is_new else None, images.shape, images.dtype, others)

    def _place(self, size: int) -> tuple[int, bool]:
        """Where a segment of `size` bytes and its flag is free, and whether it is a new one; SEGMENTS: nowhere."""
        free = [place for place, segment in enumerate(self._mine) if not segment[-1]]
        for place in free:
            if len(self._mine[place]) > size:
                return place, False
        place = free[0] if free else len(self._mine)
        if place < SEGMENTS:
            self._mine[place : place + 1] = [torch.zeros(size + 1, dtype=torch.uint8).share_memory_()]
        return place, True

    def _take(self, lent: _Lent) -> Batch:
        if lent.segment is not None:
            workers = {lent.key[0], *(child.pid for child in multiprocessing.active_children())}
            self._known = {key: segment for key, segment in self._known.items() if key[0] in workers}
            self._known[lent.key] = lent.segment.numpy()
        segment = self._known[lent.key]
        images = _over(segment, lent.shape, lent.dtype)
        # torch keeps this very array until the last tensor over it is gone.
        weakref.finalize(images, _give_back, segment, os.getpid()).atexit = False
        others = {name: _as_tensor(value) for name, value in lent.others.items()}
        return Batch(images=torch.from_numpy(images).permute(0, 3, 1, 2), **others)


@dataclass(frozen=True)
class _Lent:
    """A batch on its way: unpickled it is a `Batch` again.

    key: (pid of the worker, place of its segment); segment: that one, when the main process has not mapped it yet.
    """

    handover: int
    key: tuple[int, int]
    segment: Tensor | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    others: dict[str, Any]

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[Any, ...]]:
        return _arrive, tuple(vars(self).values())


def _arrive(*lent: Any) -> Batch:
    arrived = _Lent(*lent)
    return _live[arrived.handover]._take(arrived)


def _over(segment: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """The first bytes of a segment as an array; behind them all is its flag."""
    return np.ndarray(shape, dtype, segment.data)


def _give_back(segment: np.ndarray, owner: int) -> None:
    if os.getpid() == owner:  # a process forked meanwhile holds a copy of the batch
        segment[-1] = False


def _inline(value: Any) -> Any:
    """Small tensors travel in the message itself: as tensors each would be a file, opened, sent and mapped."""
    if isinstance(value, Boxes):
        return replace(value, **{name: _inline(part) for name, part in vars(value).items()})
    return value.numpy() if isinstance(value, Tensor) else value


def _as_tensor(value: Any) -> Any:
    if isinstance(value, Boxes):
        return replace(value, **{name: _as_tensor(part) for name, part in vars(value).items()})
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
