"""Writes files atomically, and suggests names for paths that do not exist."""

from __future__ import annotations

import difflib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from resnet_tl.errors import RunError


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that replaces `path` once it is completely on disk. Until then, and after any error (a full disk, a
    kill), the old content of `path` stays untouched. Missing folders are made.

    Supports one writer per path: the data goes to `.NAME.part` in the same folder, and the next writer overwrites a
    part left by a killed process.

    Raises:
        RunError: missing permission, full disk, or a file where a folder is to be.
    """
    part = path.with_name(f".{path.name}.part")
    with as_run_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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
    """Opens a file that appears as `path` once it is completely on disk; for names derived from the content.

    Any number of processes may write the same path at once: each writes a part of its own, and only complete files take
    the name. A process that has memory-mapped an earlier file keeps it. System errors stay `OSError`s. Removes
    parts that killed processes left in the folder.
    """
    _remove_abandoned(path.parent)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_new_text(path: Path, text: str) -> None:
    """Writes a file that is not there yet, as `atomic_write` does.

    Raises:
        RunError: it exists, or cannot be written.
    """
    if path.exists():
        raise RunError(f"{path}: exists already, and nothing is overwritten")
    with atomic_write(path) as file:
        file.write(text.encode())


def claim(path: Path) -> TextIO | None:
    """Opens a file and locks it for as long as it is open. Returns None if another process has locked it; where there
    are no locks (Windows, some network file systems), every process gets it."""
    file = open(path, "w")  # noqa: SIM115
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.close()
                return None
    return file


@contextmanager
def as_run_error(path: Path) -> Iterator[None]:
    """Turns an `OSError` raised inside into a `RunError` about `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def did_you_mean_path(path: Path) -> str:
    """Returns `"; did you mean 'runs/cats'?"` for a path that does not exist, from the siblings of its first missing
    part; "" for one that does."""
    if path.exists():
        return ""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    if not missing.parent.is_dir():
        return ""
    near = difflib.get_close_matches(missing.name, os.listdir(missing.parent), n=1, cutoff=0.5)
    return f"; did you mean {str(missing.parent / near[0])!r}?" if near else ""


def _remove_abandoned(folder: Path) -> None:
    """Deletes parts that no process has locked. Spares those of the last minute: their writer may not hold the lock
    yet."""
    for part in folder.glob(f".*.{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > 60:
                with open(part, "r+b") as file:
                    if _lock(file):
                        part.unlink()


def _lock(file: BinaryIO) -> bool:
    """Locks the file for as long as it is open. Returns whether this process holds the lock; False where the system has
    no locks."""
    try:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # Windows; locked by another process, or a file system without locks
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where folders can be opened (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
