"""Files that appear whole or not at all, and names for those that do not."""

from __future__ import annotations

import difflib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from resnet_tl.errors import RunError


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when all of it lies on disk; until then, and on any error (a full
    disk, a kill), what was at `path` stays as it is.

    One writer a path: the file grows beside it as `.NAME.part`, and what a kill left there the next writer replaces.

    Raises:
        RunError: no permission, a full disk, a folder that is not there.
    """
    part = path.with_name(f".{path.name}.part")
    with as_run_error(path):
        try:
            with open(part, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def atomic_create(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets the name `path` when all of it lies on disk, for names that say what is in the file.

    Any number of processes may write it at once: each has a part of its own, and whole ones only take the name. Who has
    an earlier one mapped keeps it. What the system refuses is an OSError. Parts that killed processes left in the
    folder are removed.
    """
    _remove_abandoned(path.parent)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            _held(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def as_run_error(path: Path) -> Iterator[None]:
    """What the system refuses inside becomes one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def did_you_mean_path(path: Path) -> str:
    """`"; did you mean 'runs/cats'?"` for a path that is not there, from what lies beside its missing part."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    if not missing.parent.is_dir():
        return ""
    near = difflib.get_close_matches(missing.name, os.listdir(missing.parent), n=1, cutoff=0.5)
    return f"; did you mean {str(missing.parent / near[0])!r}?" if near else ""


def _remove_abandoned(folder: Path) -> None:
    """Parts that no process holds any more; those of the last minute may not be held yet."""
    for part in folder.glob(f".*.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > 60:
                with open(part, "r+b") as file:
                    if _held(file):
                        part.unlink()


def _held(file: BinaryIO) -> bool:
    """Lock the file for as long as it is open; whether this process has it now. Nobody has where there are no locks."""
    try:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # Windows; held by another process, or a file system that knows no locks
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where folders can be opened (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
