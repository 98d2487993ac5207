"""The files in a folder or a zip, and which of them are images."""

from __future__ import annotations

import errno
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from resnet_tl.data.images.manifest import module_of
from resnet_tl.data.images.remote import is_url
from resnet_tl.errors import DataError, did_you_mean

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".jp2", ".ppm"),
    *(".pgm", ".pbm", ".avif", ".heic", ".heif", ".npy"),
)
SYSTEM_FILES = frozenset([
    "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "#recycle", "System Volume Information",
    "lost+found", "__pycache__",
])  # fmt: skip


THREADS, AT_ONCE = 16, 64
"""Threads, and folders between two looks at the clock."""
PATIENCE, SLOW = 0.01, 20e-6
"""Seconds, and for each name, beyond which a file system makes a thread wait."""
REPORTED_EVERY = 10.0
"""Seconds."""

log = logging.getLogger("resnet_tl")

T = TypeVar("T")


class Tree(NamedTuple):
    """The files and folders below `root`, without hidden and system files."""

    root: str
    files: list[str]
    """Paths below `root`, with `/`."""
    folders: set[str]


def walk(root: str) -> Tree:
    """Lists everything in a folder, a zip (by its central directory) or a folder in a zip (`a.zip/b`), unsorted.

    Raises:
        DataError: it does not exist, is none of these, or cannot be read.
    """
    if not root:
        raise missing(root)
    root = os.path.expanduser(root).rstrip("/") or "/"
    try:
        if os.path.isdir(root):
            if module := module_of(Path(root)):
                raise DataError(f"{root} is a packed set, which fit, validate and others read with --data {module}")
            return _folder_tree(root)
        archive = archive_of(root)
        if archive:
            return _zip_tree(archive, (root + "/").removeprefix(archive + "/"))
        if os.path.exists(root):
            raise DataError(f"{root} is a file; expected a folder of images or a .zip of one")
        raise missing(root)
    except PermissionError as error:
        raise DataError(f"{error.filename or root} cannot be read: permission denied") from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DataError(f"{error.filename or root} is a symbolic link that leads back to itself; remove it") from None


def decisive_paths(tree: Tree) -> list[str]:
    """Returns the folders, or the zip, that change when a file appears, goes or is renamed."""
    archive = archive_of(tree.root)
    return [archive] if archive else [tree.root, *(os.path.join(tree.root, folder) for folder in sorted(tree.folders))]


def archive_of(root: str) -> str:
    """Returns the zip that a root is or lies in; "" for any other root."""
    archive, found, _ = (root + "/").partition(".zip/")
    return archive + ".zip" if found and os.path.exists(archive + ".zip") and not os.path.isdir(root) else ""


def real_paths(root: str, keys: Iterable[str]) -> Iterator[str]:
    """Yields the path of each file below a root without symbolic links, by which it is known from elsewhere, too."""
    folder_of = cache(os.path.realpath)
    for key in keys:
        folder, name = os.path.split(os.path.join(root, key))
        path = os.path.join(folder_of(folder), name)
        yield os.path.realpath(path) if os.path.islink(path) else path


def is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def missing(path: str) -> DataError:
    """Returns the error for a path that does not exist, with the nearest name that does."""
    if not path:
        return DataError("a path is empty; expected a folder of images or a .zip of one")
    if is_url(path):
        read = "packed sets and tars of WebDataset"
        return DataError(f"{path} is an address, where fit, validate and others read {read} only, with --data AnyData")
    absent = Path(path)
    while not absent.parent.exists():
        absent = absent.parent
    if absent.is_symlink():
        return DataError(f"{absent} is a symbolic link that leads nowhere")
    if absent.parent.is_file():
        return DataError(f"{path} does not exist ({absent.parent} is a file)")
    near = did_you_mean(absent.name, (entry.name for entry in absent.parent.iterdir()))
    where = "" if str(absent) == path else f" ({absent.parent} has no {absent.name!r})"
    return DataError(f"{path} does not exist{where}{near}")


class Scan(Generic[T]):
    """Looks at many folders, one after another; where the file system makes a thread wait, as over a network, several
    at once. Elsewhere threads would only take Python's interpreter from each other.

    Args:
        root: what the folders are reported as.
        look: returns what is found in a folder.
        count: returns how many names that is.
    """

    def __init__(self, root: str, look: Callable[[str], T], count: Callable[[T], int]) -> None:
        self.root, self.look, self.count = root, look, count
        self._names, self._waits, self._reported = 0, False, time.monotonic()

    def over(self, folders: Sequence[str]) -> Iterator[T]:
        """Yields what is found in each, and reports the number of names so far every ten seconds."""
        with ThreadPoolExecutor(THREADS) as pool:
            for first in range(0, len(folders), AT_ONCE):
                some, start, before = folders[first : first + AT_ONCE], time.monotonic(), self._names
                found = list(pool.map(self.look, some) if self._waits else map(self.look, some))
                self._names += sum(map(self.count, found))
                now, names = time.monotonic(), self._names - before + len(some)
                self._waits = self._waits or now - start > PATIENCE + names * SLOW
                if now - self._reported > REPORTED_EVERY:
                    log.info(f"{self.root}: {self._names:,} files so far")
                    self._reported = now
                yield from found


def _folder_tree(root: str) -> Tree:
    """Lists a folder level by level."""
    files: list[str] = []
    folders: set[str] = set()
    scan, level = Scan(root, partial(_scan, root), lambda found: len(found[0])), [""]
    while level:
        below: list[str] = []
        for names, inside in scan.over(level):
            files += names
            below += inside
        folders.update(below)
        level = [folder + "/" for folder in below]
    return Tree(root, files, folders)


def _scan(root: str, below: str) -> tuple[list[str], list[str]]:
    """Returns the files and folders in the folder `below`, which ends in `/` or is "", as paths below the root."""
    files, folders = [], []
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            path = below + entry.name
            if entry.is_dir():
                if entry.is_symlink() and _contains(entry.path, root, below):
                    raise DataError(f"{entry.path} is a symbolic link to a folder that it lies in; remove it")
                folders.append(path)
            else:
                files.append(path)
    return files, folders


def _contains(link: str, root: str, below: str) -> bool:
    """Whether the folder that a symbolic link leads to contains `root/below`."""
    here = os.path.join(os.path.realpath(os.path.join(root, below)), "")
    return here.startswith(os.path.join(os.path.realpath(link), ""))


def _zip_tree(archive: str, inside: str) -> Tree:
    """Lists a zip; `inside` is "" or a folder in it that ends in `/`."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except zipfile.BadZipFile:
        raise DataError(f"{archive} is damaged or not a zip; expected a folder of images or a zip of one") from None
    names = [name[len(inside) :] for name in names if name.startswith(inside) and name != inside]
    if not names:
        raise DataError(f"{archive} holds no folder {inside.rstrip('/')!r}")
    names = [name for name in names if not any(map(_hidden, name.rstrip("/").split("/")))]
    files = [name for name in names if not name.endswith("/")]
    folders = {name.rstrip("/") for name in names if name.endswith("/")}
    folders.update(parent for name in files for parent in _parents(name))
    return Tree(f"{archive}/{inside}".rstrip("/"), files, folders)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
