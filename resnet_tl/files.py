"""Files that appear whole or not at all, and names for those that do not."""

from __future__ import annotations

import difflib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resnet_tl.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when all of it lies on disk; until then, and on any error (a full
    disk, a kill), what was at `path` stays as it is.

    One writer a path: the file grows beside it as `.NAME.part`, and what a kill left there the next writer replaces.

    Raises:
        RunError: no permission, a full disk, a folder that is not there.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
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
def adding(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets the name `path` when all of it lies on disk, for names that say what is in the file.

    Any number of processes may write it at once: each has a part of its own, and whole ones only take the name. Who has
    an earlier one mapped keeps it. What the system refuses is an OSError.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses inside becomes one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error


def nearest(path: Path) -> str:
    """`"; did you mean 'runs/cats'?"` for a path that is not there, from what lies beside its missing part."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    if not missing.parent.is_dir():
        return ""
    near = difflib.get_close_matches(missing.name, os.listdir(missing.parent), n=1, cutoff=0.5)
    return f"; did you mean {str(missing.parent / near[0])!r}?" if near else ""


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where folders can be opened (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
