"""Memory between processes."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from contextlib import suppress
from typing import Any

import pytest

from resnet_tl.data.images.shared_bytes import SharedBytes


def write(shared: SharedBytes, queue: Any) -> None:
    shared.tensor[1] = 7
    own = SharedBytes(3)
    own.tensor[2] = 9
    queue.put(own)
    assert shared.tensor[0] == 5
    while shared.tensor[3]:  # until its memory has been received
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_both_sides_see_the_same_memory(how: str) -> None:
    context: Any = multiprocessing.get_context(how)
    shared, queue = SharedBytes(4), context.Queue()
    shared.tensor[0], shared.tensor[3] = 5, 1
    process = context.Process(target=write, args=(shared, queue))
    process.start()
    assert queue.get(timeout=120).tensor.tolist() == [0, 0, 9]
    shared.tensor[3] = 0
    process.join(60)
    assert shared.tensor.tolist() == [5, 7, 0, 0]
    assert process.exitcode == 0


def test_nothing_has_no_memory() -> None:
    assert len(SharedBytes(0).tensor) == 0


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux")
def test_files_are_closed_and_nothing_is_named() -> None:
    files = len(os.listdir("/proc/self/fd"))
    some = [SharedBytes(1000) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == files + 5
    assert [name for name in os.listdir("/dev/shm") if name.startswith(f"torch_{os.getpid()}")] == []
    del some
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux")
def test_too_few_files_are_an_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, hard))
    opened = []
    try:
        with suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        os.close(opened.pop())
        with pytest.raises(OSError, match="Too many open files"):
            SharedBytes(10)
    finally:
        for file in opened:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
