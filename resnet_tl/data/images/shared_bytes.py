"""Memory that processes share."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any

import torch
from torch import Tensor

SPARE_FILES = 8


class SharedBytes:
    """`tensor` `[size]` uint8, zeros at first; pickled for another process, it is over the same memory there.

    On Linux the memory has no name: killed processes leave none behind, and a container's small /dev/shm is no limit.
    Elsewhere it is torch's.

    Raises:
        OSError, RuntimeError: there is no room, or too many files are open.
    """

    def __init__(self, size: int) -> None:
        self._file: int | None = None
        if hasattr(os, "memfd_create"):
            _check_files()
            self._file = os.memfd_create("resnet_tl")
            weakref.finalize(self, os.close, self._file)
            os.truncate(self._file, size)
            self.tensor = _mapped(self._file, size)
        else:
            self.tensor = torch.zeros(size, dtype=torch.uint8).share_memory_()

    def __reduce__(self) -> tuple[Callable[..., SharedBytes], tuple[Any, ...]]:
        if self._file is None:
            return _over, (self.tensor,)
        return _received, (DupFd(self._file), len(self.tensor))


def _check_files() -> None:
    """Raises OSError unless some more files can be opened: the thread that sends the memory would wait for ever."""
    opened = []
    try:
        for _ in range(SPARE_FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for file in opened:
            os.close(file)


def _mapped(file: int, size: int) -> Tensor:
    if size == 0:
        return torch.zeros(0, dtype=torch.uint8)
    return torch.from_file(f"/proc/self/fd/{file}", shared=True, size=size, dtype=torch.uint8)


def _received(descriptor: Any, size: int) -> SharedBytes:
    file = descriptor.detach()
    try:
        return _over(_mapped(file, size))
    finally:
        os.close(file)


def _over(tensor: Tensor) -> SharedBytes:
    shared = SharedBytes.__new__(SharedBytes)
    shared._file, shared.tensor = None, tensor
    return shared
