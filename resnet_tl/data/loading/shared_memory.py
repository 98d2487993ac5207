"""Batches from workers to the main process through shared memory that is reused.

PyTorch allocates new shared memory for every batch, whose pages are zeroed, mapped and released each time. That takes
as long as cropping the images from a cache. Here a worker keeps a few segments, which the main process maps once and
releases by a flag when the last tensor over a batch's images is gone.

Where no segment is free, or none can be made, a batch is copied through the loader's pipe.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from resnet_tl.data.images.dataset import Item
from resnet_tl.data.images.pending import PendingBatch
from resnet_tl.data.images.shared_bytes import SharedBytes
from resnet_tl.data.loading.collate import with_unlabelled
from resnet_tl.structures.records import Batch, Boxes, Unlabelled

Collate = Callable[[Sequence[Item]], Batch]
SEGMENTS = 8
"""The most that a worker keeps: two prefetched, one in use, and some for callers that hold on to batches."""

NO_ROOM = (
    "no memory can be shared with the loader's workers (too many open files, or full): batches are copied, which takes "
    "longer; ulimit -n 4096 allows more files"
)

_live: weakref.WeakValueDictionary[int, SharedMemoryCollate] = weakref.WeakValueDictionary()
_numbers = itertools.count()


class SharedMemoryCollate:
    """Wraps a DataLoader's `collate`: the same batches, but images collated in a worker arrive in its segments.

    A batch that is held stays unchanged: its segment is not written to before all tensors over it are gone.
    """

    def __init__(self, collate: Collate) -> None:
        self.collate = collate
        self._number = next(_numbers)
        self._segments: list[SharedBytes] = []  # of this worker
        self._has_room = True
        self._mapped: dict[tuple[int, int], np.ndarray] = {}  # in the main process: (worker's pid, index) -> segment
        _live[self._number] = self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_mapped": {}}

    def __call__(self, items: Sequence[Item]) -> Batch:
        batch: Batch | PendingBatch = self.collate(items)
        if get_worker_info() is None:
            return batch  # type: ignore[return-value]
        if isinstance(batch, PendingBatch):
            return self._to_segment(batch, batch.data.numpy())
        if not isinstance(batch.images, Tensor):
            return batch
        images = batch.images
        if batch.unlabelled is not None:
            images = torch.cat([images, batch.unlabelled.images])
        return self._to_segment(batch, images.permute(0, 2, 3, 1).numpy())

    def _to_segment(self, batch: Batch | PendingBatch, images: np.ndarray) -> Any:
        """Returns what arrives as the batch with its `images` `[N*V, H, W, C]` (and after them those without targets),
        or the `data` of a pending one, in a free segment, or copied."""
        others = {name: _inline(value) for name, value in vars(batch).items() if name not in ("images", "data")}
        index = self._free_segment(images.nbytes)
        if index is not None:
            return self._message(index, images, others)
        new = self._new_segment(images.nbytes)
        if new is not None:
            index, segment = new
            replaced = self._segments[index : index + 1]
            self._segments[index : index + 1] = [segment]
            try:  # pickled here: an error in the queue's own thread would be printed, and the loader wait for ever
                return _Pickled(bytes(ForkingPickler.dumps(self._message(index, images, others, segment))))
            except (RuntimeError, OSError):  # too many files are open
                self._segments[index : index + 1] = replaced
                self._has_room = False
        return _Copy(self._number, images, others, self._has_room)

    def _message(
        self, index: int, images: np.ndarray, others: dict[str, Any], new_segment: SharedBytes | None = None
    ) -> _Message:
        segment = self._segments[index].tensor
        _as_array(segment.numpy(), images.shape, images.dtype)[...] = images
        segment[-1] = True  # in use, until the main process resets it
        return _Message(self._number, (os.getpid(), index), new_segment, images.shape, images.dtype, others)

    def _free_segment(self, size: int) -> int | None:
        """Returns the index of a free segment with room for `size` bytes and a flag; None: there is none."""
        return next((index for index in self._free() if len(self._segments[index].tensor) > size), None)

    def _new_segment(self, size: int) -> tuple[int, SharedBytes] | None:
        """Returns a new segment, and the index of the free, smaller one that it replaces or the next index; None: all
        are in use, or none can be made."""
        index = next(self._free(), len(self._segments))
        if index == SEGMENTS or not self._has_room:
            return None
        try:
            return index, SharedBytes(size + 1)
        except (RuntimeError, OSError):
            self._has_room = False
            return None

    def _free(self) -> Iterator[int]:
        return (index for index, segment in enumerate(self._segments) if not segment.tensor[-1])

    def _receive(self, message: _Message) -> Batch:
        """Rebuilds the batch in the main process, its images over the segment."""
        if message.segment is not None:
            workers = {message.key[0], *(child.pid for child in multiprocessing.active_children())}
            self._mapped = {key: segment for key, segment in self._mapped.items() if key[0] in workers}
            self._mapped[message.key] = message.segment.tensor.numpy()
        segment = self._mapped[message.key]
        images = _as_array(segment, message.shape, message.dtype)
        # torch holds a reference to exactly this array until the last tensor over it is gone.
        weakref.finalize(images, _release, segment, os.getpid()).atexit = False
        return _as_batch(images, message.others)

    def _receive_copy(self, copy: _Copy) -> Batch:
        if not copy.has_room and self._has_room:
            self._has_room = False
            warnings.warn(NO_ROOM, stacklevel=2)
        return _as_batch(copy.images, copy.others)


@dataclass(frozen=True)
class _Message:
    """A batch between processes: unpickling turns it into a `Batch` again.

    key: (pid of the worker, index of its segment). segment: the segment itself, if the main process has not mapped it.
    """

    collate: int
    key: tuple[int, int]
    segment: SharedBytes | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    others: dict[str, Any]

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[Any, ...]]:
        return _rebuild, tuple(vars(self).values())


def _rebuild(*fields: Any) -> Batch:
    message = _Message(*fields)
    return _live[message.collate]._receive(message)


@dataclass(frozen=True)
class _Copy:
    """A batch between processes without shared memory. has_room: whether only all segments were in use."""

    collate: int
    images: np.ndarray
    others: dict[str, Any]
    has_room: bool

    def __reduce__(self) -> tuple[Callable[..., Batch], tuple[Any, ...]]:
        return _rebuild_copy, tuple(vars(self).values())


def _rebuild_copy(*fields: Any) -> Batch:
    copy = _Copy(*fields)
    return _live[copy.collate]._receive_copy(copy)


@dataclass(frozen=True)
class _Pickled:
    """What has been pickled already."""

    data: bytes

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return ForkingPickler.loads, (self.data,)


def _as_batch(images: np.ndarray, others: dict[str, Any]) -> Batch:
    fields, tensor = _as_tensor(others), torch.from_numpy(images)
    if "recorded" in fields:
        return PendingBatch(tensor, **fields)  # type: ignore[return-value]  # becomes a Batch on its device
    unlabelled = fields.pop("unlabelled") or 0
    return with_unlabelled(Batch(tensor.permute(0, 3, 1, 2), **fields), unlabelled)


def _as_array(segment: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Returns the first bytes of a segment as an array; the last byte of the segment is its flag."""
    return np.ndarray(shape, dtype, segment.data)


def _release(segment: np.ndarray, owner: int) -> None:
    if os.getpid() == owner:  # a process forked in the meantime has a copy of the batch
        segment[-1] = False


def _inline(value: Any) -> Any:
    """Sends small tensors in the message itself: as tensors, each would be a file that is opened, sent and mapped."""
    if isinstance(value, Boxes):
        return replace(value, **_inline(vars(value)))
    if isinstance(value, Unlabelled):
        return len(value.images)  # their number: they are in the segment
    if isinstance(value, dict):
        return {name: _inline(field) for name, field in value.items()}
    return value.numpy() if isinstance(value, Tensor) else value


def _as_tensor(value: Any) -> Any:
    if isinstance(value, Boxes):
        return replace(value, **_as_tensor(vars(value)))
    if isinstance(value, dict):
        return {name: _as_tensor(field) for name, field in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
