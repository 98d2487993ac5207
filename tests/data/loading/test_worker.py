"""Signals to a loader's workers."""

from __future__ import annotations

import signal
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event

import pytest

from resnet_tl.data.loading.worker import init_worker


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
