"""Workers in a container's small /dev/shm, and what killed runs leave in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnet_tl.data.loading.shared_memory import NO_ROOM

LOAD = """
import sys, numpy as np
sys.path.insert(0, {tests!r})
from torch.utils.data import DataLoader
from test_shared_memory import Plain, loader
print("batches", flush=True)
batches = loader(Plain(10**6, (400,)), batch_size=4, num_workers=2)
for number, batch in enumerate(batches):
    assert batch.images[0, 0, 0, 0] == 4 * number % 256
    if number == {count}:
        break
print("done", flush=True)
"""


@pytest.fixture
def in_small_memory() -> list[str]:
    """The beginning of a command that runs with a /dev/shm of 1 MB of its own."""
    command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" "$@"']
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespace can be made here")
    return command


def script(count: int) -> list[str]:
    return [sys.executable, "-c", LOAD.format(tests=str(Path(__file__).parent), count=count)]


def test_batches_larger_than_the_shared_memory_arrive(in_small_memory: list[str]) -> None:
    done = subprocess.run([*in_small_memory, *script(30)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr
    assert NO_ROOM not in done.stderr


@pytest.mark.slow
def test_killed_runs_leave_no_shared_memory() -> None:
    before = set(os.listdir("/dev/shm"))
    pids = []
    for number in range(10):
        process = subprocess.Popen(script(10**6), stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "batches\n"
        time.sleep(0.3 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        pids.append(process.pid)
        process.stdout.close()
    left = {name for name in set(os.listdir("/dev/shm")) - before if any(str(pid) in name for pid in pids)}
    assert left == set()
