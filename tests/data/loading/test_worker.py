"""Signals to a loader's workers."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.synchronize import Event
from typing import Any

import pytest

from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.worker import init_worker, signals_wait, worker_faults
from resnet_tl.errors import RunError


def work(ready: Event, done: Event) -> None:
    init_worker(0)
    ready.set()
    while not done.wait(0.05):
        pass


@pytest.mark.timeout(120)
def test_a_worker_outlives_one_termination_and_not_two() -> None:
    context = SpawnContext()
    ready, done = context.Event(), context.Event()
    worker = context.Process(target=work, args=(ready, done), daemon=True)
    worker.start()
    assert ready.wait(60)
    worker.terminate()
    worker.join(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == -signal.SIGTERM


def slow_work(importing: Event, ready: Event, go: Event) -> None:
    """A worker that takes its time before `init_worker`, as a spawned one that imports."""
    importing.set()
    go.wait(30)
    init_worker(0)
    ready.set()
    go.wait(30)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot wait on this system")
@pytest.mark.parametrize("context", [ForkContext(), SpawnContext()])
@pytest.mark.timeout(120)
def test_signals_while_a_worker_starts_do_not_end_it(context: ForkContext | SpawnContext) -> None:
    importing, ready, go = context.Event(), context.Event(), context.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    worker = context.Process(target=slow_work, args=(importing, ready, go), daemon=True)
    with signals_wait(context):
        worker.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert importing.wait(60)
    assert worker.pid is not None
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        os.kill(worker.pid, number)
    worker.join(0.5)
    assert worker.is_alive()
    go.set()
    assert ready.wait(60)
    worker.join(30)
    assert worker.exitcode == 0


HELD: list[Any] = []


def hold(*, interrupted: bool) -> None:
    """Holds a loader whose workers wait for work, or the interrupt of their start."""
    ready = ForkContext().Barrier(3)

    class Order:
        def __iter__(self) -> Iterator[int]:  # with the first batch, at the end of the workers' start
            ready.wait()
            if interrupted:
                raise KeyboardInterrupt
            return iter(range(4))

    def init(worker: int) -> None:
        init_worker(worker)
        ready.wait()

    workers = {"num_workers": 2, "persistent_workers": True, "worker_init_fn": init, "multiprocessing_context": "fork"}
    HELD.append(ImageLoader(range(4), batch_size=2, sampler=Order(), collate_fn=list, **workers))  # type: ignore[arg-type]
    try:
        assert list(HELD[0]) == [[0, 1], [2, 3]]
    except KeyboardInterrupt as error:
        HELD.append(error)


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.timeout(60)
def test_workers_of_a_held_loader_do_not_keep_its_process_from_exiting(interrupted: bool) -> None:
    process = ForkContext().Process(target=hold, kwargs={"interrupted": interrupted})
    process.start()
    process.join(20)
    process.kill()  # its workers notice that, too
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "shared memory is full, which the loader's workers need"),
        (RuntimeError("unable to allocate shared memory(shm) for file </t>: No space left on device"), "shared memory"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files for the loader's workers; allow more"),
        (RuntimeError("Too many open files. Communication with the workers is no longer possible"), "too many open"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "a worker of the loader was ended"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. "),
            "a worker of the loader was ended",
        ),
    ],
)
def test_what_the_machine_has_no_room_for_is_a_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(RunError, match=f"^{sentence}"), worker_faults():
        raise error


def test_other_errors_stay_as_they_are() -> None:
    for error in (
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Segmentation fault."),
        OSError(5, "I/O"),
    ):
        with pytest.raises(type(error), match=re.escape(str(error))), worker_faults():
            raise error
