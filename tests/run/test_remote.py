"""Runs whose folder is at an address are whole there, and resume from there."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from resnet_tl.data.images import remote as addresses
from resnet_tl.run.remote import RemoteRun
from tests.cli.conftest import Done

Command = Callable[..., Done]

AT = """
import os, signal
from lightning.pytorch import Callback

class At(Callback):
    def on_train_batch_start(self, trainer, *_):
        if os.environ.get("AT") == str(trainer.global_step):
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "WAITS", ())


@pytest.fixture
def line(here: Path, images: Path) -> str:
    (here / "at.py").write_text(AT)
    more = "trainer: {max_epochs: 3, callbacks: [{class_path: at.At}]}\ntracking: {checkpoint_every: 2}\n"
    (here / "at.yaml").write_text(more)
    return f"fit -c photos.yaml -c at.yaml --data.root {images}"


def forget() -> None:
    """As on another machine."""
    shutil.rmtree(Path(os.environ["XDG_CACHE_HOME"]) / "resnet_tl" / "runs", ignore_errors=True)


def state(path: str, filesystem: Any) -> dict[str, torch.Tensor]:
    with filesystem.open(f"{path}/checkpoints/last.ckpt") as file:
        loaded: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return loaded


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_a_killed_run_resumes_from_its_address_bit_for_bit(
    process: Callable[..., BaseProcess], here: Path, line: str
) -> None:
    def finished(*words: str, **environment: str) -> int | None:
        forget()
        started = process(" ".join(words), here, **environment)
        started.join(300)
        return started.exitcode

    url, local = f"file://{here}/store/x", fsspec.filesystem("file")
    assert finished(line, "--run whole") == 0
    assert finished(line, "--run", url, AT="5", SIGNAL="SIGKILL") == -signal.SIGKILL
    assert torch.load(here / "store/x/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4, "in mid-epoch"
    assert finished(line, "--run", url, "--resume auto") == 0
    assert equal(state(f"{here}/store/x", local), state(f"{here}/whole", local))
    names = [
        {path.relative_to(run).as_posix() for path in run.rglob("*")} for run in (here / "whole", here / "store/x")
    ]
    assert names[1] == names[0] - {".lock"}
    assert (here / "store/x/metrics.csv").read_text() == (here / "whole/metrics.csv").read_text()
    printed = (here / "output.txt").read_text()
    assert f"{url} resumes at step 4, in epoch 2" in printed
    assert f"the run: {url}\n" in printed


def test_a_signalled_run_is_at_its_address_and_resumes_by_it(
    here: Path, line: str, resnet_tl: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("AT", "2")
    monkeypatch.setenv("SIGNAL", "SIGTERM")
    stopped = resnet_tl(f"{line} --run memory://runs/signalled")
    assert stopped.code == 143
    assert "to resume: --resume memory://runs/signalled" in stopped.out + stopped.err
    monkeypatch.delenv("AT")
    forget()
    taken = resnet_tl(f"{line} --run memory://runs/signalled")
    assert taken.code == 2
    assert "--run memory://runs/signalled: is not empty; nothing was written" in taken.err
    folds = resnet_tl(f"{line} --run memory://runs/new --folds 2")
    assert "folds need a folder on this machine" in folds.err
    assert resnet_tl("fit --resume memory://runs/signalled --trust-code").code == 0
    assert resnet_tl(f"{line} --run whole").code == 0
    stored = fsspec.filesystem("memory")
    assert equal(state("/runs/signalled", stored), state("whole", fsspec.filesystem("file")))
    assert b"resumes at step" in stored.cat_file("/runs/signalled/log.txt")


def test_what_cannot_be_copied_leaves_what_was_there_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_tl.errors import RunError

    run = RemoteRun("memory://runs/full")
    assert not run.fetch()
    last = run.folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.write_text("first")
    (run.folder / "metrics.csv").write_text("1")
    run.publish()
    last.write_text("second")
    (run.folder / "metrics.csv").write_text("12")
    store = fsspec.filesystem("memory")
    put = store.put_file

    def full(file: str, place: str, **options: Any) -> None:
        if place.endswith("last.ckpt"):
            raise OSError("503")
        put(file, place, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "put_file", lambda self, *each, **options: full(*each, **options))
        with pytest.raises(RunError, match=r"memory://runs/full/checkpoints/last\.ckpt: failed 1 times.*503"):
            run.publish()
    assert store.cat_file("/runs/full/checkpoints/last.ckpt") == b"first"
    run.publish()
    other = RemoteRun("memory://runs/full/")
    assert other.fetch()
    assert (other.folder / "checkpoints" / "last.ckpt").read_text() == "second"
    assert (other.folder / "metrics.csv").read_text() == "12"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`s3://bucket` on a server of this machine."""
    server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    running = server.ThreadedMotoServer(port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


@pytest.mark.slow
def test_a_run_in_a_bucket(
    here: Path, line: str, bucket: str, resnet_tl: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("AT", "4")
    monkeypatch.setenv("SIGNAL", "SIGTERM")
    assert resnet_tl(f"{line} --run {bucket}/runs/x").code == 143
    monkeypatch.delenv("AT")
    forget()
    assert resnet_tl(f"{line} --run {bucket}/runs/x --resume auto").code == 0
    assert resnet_tl(f"{line} --run whole").code == 0
    assert equal(state("bucket/runs/x", s3fs.S3FileSystem()), state("whole", fsspec.filesystem("file")))
