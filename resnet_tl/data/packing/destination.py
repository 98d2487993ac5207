"""A folder, or an address, to which files are written: each is whole there or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from resnet_tl.data.images.remote import is_url, open_filesystem, retried, without_slash, write_url
from resnet_tl.errors import RunError
from resnet_tl.files import as_run_error, atomic_write, claim

BLOCK = 1 << 22
WORK = ".work-"
"""What begins the names of folders in which files are written before they are moved to their names."""
LOCK = ".lock"
"""A folder's, while it is packed into."""


class Destination:
    """root: a folder, which is made, or an address."""

    def __init__(self, root: str) -> None:
        self.root = without_slash(root)
        self.folder = None if is_url(root) else Path(root).expanduser()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keeps other processes of this machine out of the folder while inside; an address has no locks.

        Raises:
            RunError: another process has claimed it.
        """
        if self.folder is None:
            yield
            return
        with as_run_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = claim(self.folder / LOCK)
        if lock is None:
            raise RunError(f"{self.root}: another process is packing into this folder")
        with lock:
            try:
                yield
            finally:
                (self.folder / LOCK).unlink()

    def where(self, name: str) -> str:
        return f"{self.root}/{name}"

    def names(self) -> set[str]:
        """Returns what lies directly in the root, but for the lock."""
        if self.folder is not None:
            with as_run_error(self.folder):
                return set(os.listdir(self.folder)) - {LOCK}

        def listed() -> set[str]:
            filesystem, path = open_filesystem(self.root)
            filesystem.invalidate_cache()
            try:
                return {os.path.basename(found) for found in filesystem.ls(path, detail=False)}
            except FileNotFoundError:
                return set()

        return retried(self.root, listed)

    def size(self, name: str) -> int | None:
        """Returns the length of a file in bytes; None: there is none."""
        if self.folder is not None:
            path = self.folder / name
            return path.stat().st_size if path.is_file() else None

        def length() -> int | None:
            filesystem, path = open_filesystem(self.where(name))
            filesystem.invalidate_cache()
            return int(filesystem.size(path)) if filesystem.exists(path) else None

        return retried(self.where(name), length)

    def read(self, name: str) -> bytes:
        if self.folder is not None:
            return (self.folder / name).read_bytes()
        return retried(self.where(name), lambda: _call(self.where(name), "cat_file"))

    def digest(self, name: str) -> str:
        """Returns the SHA-256 of a file as it is read from there."""

        def digest() -> str:
            found = sha256()
            with _open(self.folder / name if self.folder is not None else self.where(name)) as file:
                while block := file.read(BLOCK):
                    found.update(block)
            return found.hexdigest()

        return digest() if self.folder is not None else retried(self.where(name), digest)

    def write(self, name: str, content: bytes) -> None:
        if self.folder is not None:
            with atomic_write(self.folder / name) as file:
                file.write(content)
        else:
            write_url(self.where(name), content)

    def put(self, name: str, file: Path) -> None:
        """Moves a file of `work` there."""
        if self.folder is not None:
            with as_run_error(self.folder / name):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
                os.replace(file, self.folder / name)
        else:
            write_url(self.where(name), file)

    def delete(self, name: str) -> None:
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
        else:
            retried(self.where(name), lambda: _call(self.where(name), "rm_file"))

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Makes a folder for files that are to be `put`; on the same disk where that is one of this machine."""
        where = Path(gettempdir()) if self.folder is None else self.folder
        with as_run_error(where):
            where.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=WORK, dir=where) as folder:
                yield Path(folder)


def _call(url: str, method: str) -> Any:
    filesystem, path = open_filesystem(url)
    return getattr(filesystem, method)(path)


def _open(place: Path | str) -> Any:
    if isinstance(place, Path):
        return open(place, "rb")
    filesystem, path = open_filesystem(place)
    return filesystem.open(path, "rb", block_size=BLOCK)
