"""How a loader's worker process starts, and how it ends at the latest."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.resource_tracker import ensure_running
from multiprocessing.util import Finalize
from types import FrameType
from weakref import ref

import cv2
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from resnet_tl.errors import RunError
from resnet_tl.signals import SIGNALS_AND_CTRL_C

SHARED_MEMORY_FULL = (
    "shared memory is full, which the loader's workers need; enlarge /dev/shm (docker run --shm-size 1g), or set "
    "data.num_workers 0"
)
TOO_MANY_FILES = "too many open files for the loader's workers; allow more (ulimit -n 4096), or lower data.num_workers"

_MultiProcessingDataLoaderIter._shutdown = True
"""Of an iterator that could not start its workers: torch would print an AttributeError when it is deleted."""


def init_worker(worker: int) -> None:
    """Limits a worker to one core, as `num_workers` decides how many cores decode, and lets it outlive signals.

    Schedulers and terminals signal every process of a job: the main process then saves the run, and a worker that dies
    would end it.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_AND_CTRL_C)


def _ignore_once(number: int, frame: FrameType | None) -> None:
    # The second ends the worker: one that hangs can still be terminated.
    signal.signal(number, signal.SIG_DFL)


@contextmanager
def signals_wait(context: BaseContext) -> Iterator[None]:
    """Around what starts workers: they inherit that signals wait, until `init_worker` handles them. A spawned worker
    imports for seconds before that, and a signal would end it.

    Args:
        context: how they start.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_AND_CTRL_C)
    try:
        if context.get_start_method() != "fork":
            ensure_running()  # the process that cleans up after spawned ones; where it starts, SIGTERM waits no longer
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_AND_CTRL_C)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def killed_at_exit() -> Iterator[None]:
    """Around what starts workers: those that are left when this process exits are killed then.

    multiprocessing would terminate each of them once, which they outlive (`init_worker`), and wait without end.
    """
    others = set(active_children())
    try:
        yield
    finally:  # also where Ctrl-C interrupts the start
        for worker in set(active_children()) - others:
            Finalize(worker, _kill, (ref(worker),), exitpriority=0)


def _kill(worker: ref[BaseProcess]) -> None:
    process = worker()
    if process is not None:  # at exit; otherwise it has ended, and its object is deleted
        if hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises an error about a killed worker
        process.kill()


@contextmanager
def worker_faults() -> Iterator[None]:
    """Around what starts workers and receives their batches: what the machine has no room for becomes a RunError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = _no_room(error) or killed_worker(error)
        if found is None:
            raise
        raise found from error


def killed_worker(error: BaseException) -> RunError | None:
    """Returns the sentence for a worker that something ended from outside, which torch's handler of signals raises
    wherever the process is; None for other errors."""
    killed = re.search(r"DataLoader worker \(pid .*\) is killed by signal: (Killed|Bus error)", str(error))
    if killed is None:
        return None
    return RunError(
        f"a worker of the loader was ended from outside ({killed[1]}), as when memory is full; lower data.batch_size "
        "or data.num_workers"
    )


def _no_room(error: OSError | RuntimeError) -> RunError | None:
    text, number = str(error), getattr(error, "errno", None)
    if number == errno.ENOSPC or "No space left on device" in text:
        return RunError(SHARED_MEMORY_FULL)
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in text:
        return RunError(TOO_MANY_FILES)
    return None
