"""Fixtures that many tests share."""

from __future__ import annotations

import logging
import multiprocessing
import os
import runpy
import shlex
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
# Small networks gain nothing by a second thread; and with two, torch 2.14.1 crashes in the backward pass of a 1x1
# convolution of stride 2 from 8 to 16 channels, channels-last, on an odd number of images: `resnet_tiny` has one.
os.environ["OMP_NUM_THREADS"] = "1"
CACHE = tempfile.TemporaryDirectory()  # instead of the user's cache; deleted at the end
os.environ["XDG_CACHE_HOME"] = CACHE.name


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights that are not part of the project; tests that need them skip where they are missing."""
    next_to_it = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("RESNET_TL_SHARED", next_to_it))
    if not root.is_dir():
        pytest.skip(f"no real data at {root} (set RESNET_TL_SHARED)")
    return root


@pytest.fixture(scope="session", autouse=True)
def no_reports() -> Iterator[None]:
    """Runs write no report, which takes longer than the small trainings of tests, but in the tests of reports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnet_tl.report.after_fit.after_fit", lambda run, data: None)
        yield


@pytest.fixture(autouse=True)
def no_log_handlers() -> Iterator[None]:
    """A handler that a test leaves behind would silence the commands of later ones."""
    yield
    assert logging.getLogger("resnet_tl").handlers == []


COMMAND = """
import os, sys

if __name__ == "__main__":
    os.chdir({folder!r})
    sys.path.insert(0, {folder!r})
    os.environ.update({environment!r})
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from lightning.pytorch.utilities import rank_zero_only
    from resnet_tl.cli.main import main
    from resnet_tl.report import after_fit

    after_fit.after_fit = lambda run, data: None
    rank_zero_only.rank = int(os.environ.get("LOCAL_RANK", 0))  # as an import in this process would find it
    sys.exit(main({arguments!r}))
"""


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BaseProcess]:
    """`process("fit -c a.yaml", folder, NAME="value")`: the command started in a process that can be killed. What it
    prints is appended to `output.txt`. Such processes are forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["resnet_tl.run.train", "resnet_tl.data.images.transforms"])

    def start(line: str, folder: Path, **environment: str) -> BaseProcess:
        script = tmp_path_factory.mktemp("command") / "command.py"
        parts = {"folder": str(folder), "environment": environment, "arguments": shlex.split(line)}
        script.write_text(COMMAND.format(**parts))
        started = context.Process(target=runpy.run_path, args=(str(script),), kwargs={"run_name": "__main__"})
        started.start()
        return started

    return start


@pytest.fixture(scope="session")
def on_ranks(process: Callable[..., BaseProcess]) -> Callable[..., list[int | None]]:
    """`on_ranks("fit -c a.yaml", folder, {}, {"NAME": "value"})`: the command as a `process` a rank, each with its own
    environment; returns their exit codes."""

    def run(line: str, folder: Path, *environments: Mapping[str, str]) -> list[int | None]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        count = str(len(environments))
        joined = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "NODE_RANK": "0"}
        started = [
            process(line, folder, LOCAL_RANK=str(rank), **joined, **own) for rank, own in enumerate(environments)
        ]
        for one in started:
            one.join(300)
        return [one.exitcode for one in started]

    return run
