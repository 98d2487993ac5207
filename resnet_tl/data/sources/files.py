"""Pictures without labels: files, folders, globs and zips, as they are typed after `predict`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from resnet_tl.data.images.archive import split_path
from resnet_tl.data.sources.tree import is_picture, missing, walk
from resnet_tl.errors import DataError


def find_pictures(inputs: Iterable[str | Path]) -> list[str]:
    """The pictures meant, in the order of `inputs`; those of a folder, zip or glob by name.

    Args:
        inputs: files (taken as they are), folders and zips (searched to the bottom), folders and members of zips
            (`set.zip/cats/1.jpg`), globs (`photos/**/*.jpg`).

    Raises:
        DataError: nothing there, or no picture in it.
    """
    return [picture for given in inputs for picture in _expand(os.path.expanduser(given))]


def _expand(path: str) -> list[str]:
    if os.path.exists(path) or ".zip/" in path:
        return _pictures_at(path)
    if not glob.has_magic(path):
        raise missing(path)
    matches = sorted(glob.glob(path, recursive=True))
    pictures = [match for match in matches if is_picture(match) and os.path.isfile(match)]
    if not pictures:
        count = f"{len(matches)} file{'s' if len(matches) > 1 else ''}, but no picture"
        found = f"matches {count if matches else 'no file'}"
        raise DataError(f"{path} {found} (a glob through folders is written **/*.jpg)")
    return pictures


def _pictures_at(path: str) -> list[str]:
    is_member = split_path(path) is not None and is_picture(path)
    if is_member or (os.path.isfile(path) and not path.endswith(".zip")):
        return [path]
    tree = walk(path)
    pictures = sorted(filter(is_picture, tree.files))
    if not pictures:
        raise DataError(f"{path} holds no pictures")
    return [f"{tree.root}/{picture}" for picture in pictures]
