"""The files in a folder or a zip, and which of them are images."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from resnet_tl.errors import DataError, did_you_mean

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".jp2", ".ppm"),
    *(".pgm", ".pbm", ".avif", ".heic", ".heif", ".npy"),
)
SYSTEM_FILES = frozenset([
    "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "#recycle", "System Volume Information",
    "lost+found", "__pycache__",
])  # fmt: skip


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
            files: list[str] = []
            folders: set[str] = set()
            _scan(root, "", files, folders)
            return Tree(root, files, folders)
        archive, found, inside = (root + "/").partition(".zip/")
        if found and os.path.exists(archive + ".zip"):
            return _zip_tree(archive + ".zip", inside)
        if os.path.exists(root):
            raise DataError(f"{root} is a file; expected a folder of images or a .zip of one")
        raise missing(root)
    except PermissionError as error:
        raise DataError(f"{error.filename or root} cannot be read: permission denied") from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise DataError(f"{error.filename or root} is a symbolic link that leads back to itself; remove it") from None


def is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def missing(path: str) -> DataError:
    """Returns the error for a path that does not exist, with the nearest name that does."""
    if not path:
        return DataError("a path is empty; expected a folder of images or a .zip of one")
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


def _scan(root: str, below: str, files: list[str], folders: set[str]) -> None:
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            path = below + entry.name
            if entry.is_dir():
                if entry.is_symlink() and _contains(entry.path, root, below):
                    raise DataError(f"{entry.path} is a symbolic link to a folder that it lies in; remove it")
                folders.add(path)
                _scan(root, path + "/", files, folders)
            else:
                files.append(path)


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
