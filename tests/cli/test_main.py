# ruff: noqa: E501  (a table: a command and its sentence a line)
"""The command as such: help, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.data import DataLoader

from resnet_tl import __version__
from resnet_tl.cli import main as command
from resnet_tl.errors import DataError, UserError

VERBS = list(command.VERBS)
KNOWN = ", ".join(VERBS)


class Broken:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        raise DataError("photos/a: b.jpg: not an image")


@pytest.mark.parametrize("line", ["", "--help", "-h"])
def test_help_names_every_verb(resnet_tl: Callable[..., Any], line: str) -> None:
    done = resnet_tl(line)
    assert (done.code, done.err) == (0, "")
    assert all(f"\n  {verb} " in done.out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_on_a_screen_without_torch(verb: str) -> None:
    script = "import sys; from resnet_tl.cli.main import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script, verb, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"usage: resnet-tl {verb}")
    assert max(len(page.splitlines()) for page in re.split(r"\n(?=usage: )", done.stdout)) <= 45
    assert max(map(len, lines)) <= 125


def test_version(resnet_tl: Callable[..., Any]) -> None:
    assert resnet_tl("--version").out == f"resnet-tl {__version__}\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "fitt -c x",
            f"no verb 'fitt': expected {KNOWN}; did you mean 'fit'?",
        ),
        (
            "train -c x",
            f"no verb 'train': expected {KNOWN}; did you mean 'fit'?",
        ),
        (
            "-c x",
            f"which verb? expected one of {KNOWN}: resnet-tl fit -c RECIPE",
        ),
        (
            "--data.root x",
            f"which verb? expected one of {KNOWN}: resnet-tl fit -c RECIPE",
        ),
    ],
)
def test_without_a_verb(resnet_tl: Callable[..., Any], line: str, message: str) -> None:
    assert resnet_tl(line) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("raised", "code", "stderr"),
    [
        (UserError("one\ntwo"), 2, "error: one two\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: the disk is full\n"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/x"), 2, "error: runs/x: no permission\n"),
        (OSError(errno.ELOOP, "Too many links", "a"), 2, "error: a: a symbolic link leads back to itself\n"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            2,
            "error: too many open files; allow more (ulimit -n 4096) or lower data.num_workers\n",
        ),
        (
            MemoryError("a.png: no memory for its 9 x 9 pixels"),
            2,
            "error: a.png: no memory for its 9 x 9 pixels: lower the batch size, the number of workers or the size of the "
            "images\n",
        ),
    ],
)
def test_outside_failures_are_a_sentence(
    resnet_tl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, stderr: str
) -> None:
    monkeypatch.setattr(command, "import_module", lambda name: SimpleNamespace(run=raising(raised)))
    assert resnet_tl("fit") == (code, "", stderr)


@pytest.mark.parametrize("raised", [RuntimeError("a bug"), KeyError("x"), OSError(errno.EIO, "I/O error")])
def test_a_bug_keeps_its_traceback(
    resnet_tl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    monkeypatch.setattr(command, "import_module", lambda name: SimpleNamespace(run=raising(raised)))
    with pytest.raises(type(raised)):
        resnet_tl("fit")


@pytest.mark.parametrize(("line", "code"), [(["recipes", "list"], 0), (["fitt"], 2)])
def test_a_pipe_that_is_closed_early_ends_the_command_quietly(line: list[str], code: int) -> None:
    """`resnet-tl ... | head`: nothing is written before the end."""
    script = "import sys; from resnet_tl.cli.main import main; print('lines'); sys.exit(main(sys.argv[1:]))"
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", script, *line],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=buffered,
        check=False,
    )
    os.close(writer)
    assert done.returncode == code
    assert "BrokenPipe" not in done.stderr


def test_an_error_from_a_worker_is_its_sentence_alone() -> None:
    with pytest.raises(DataError) as error:
        next(iter(DataLoader(Broken(), num_workers=1)))  # type: ignore[arg-type]
    assert "Original Traceback" in str(error.value)
    assert command.sentence(error.value) == "photos/a: b.jpg: not an image"


def test_a_class_in_the_working_folder_can_be_imported(tmp_path: Path) -> None:
    """As `resnet-tl`, whose first import path is the folder of the script."""
    (tmp_path / "mine.py").write_text("class Head: ...\n")
    start = "import sys; sys.path.remove(''); from resnet_tl.run.process import configure_process"
    subprocess.run(
        [sys.executable, "-c", f"{start}; configure_process(local_code=True); import mine"], cwd=tmp_path, check=True
    )
    (tmp_path / "yaml.py").write_text("raise SystemExit(9)\n")  # after installed packages
    subprocess.run(
        [sys.executable, "-c", f"{start}; configure_process(local_code=True); import yaml"], cwd=tmp_path, check=True
    )
    alone = [sys.executable, "-c", f"{start}; configure_process(); import mine"]
    assert subprocess.run(alone, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def raising(error: BaseException) -> Callable[..., int]:
    def run(verb: str, command: Any) -> int:
        raise error

    return run
