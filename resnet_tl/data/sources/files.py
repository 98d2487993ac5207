"""Images without labels: files, folders, globs and zips, as typed after `predict`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from resnet_tl.data.images.archive import split_path
from resnet_tl.data.sources.tree import is_image, missing, walk
from resnet_tl.errors import DataError


def find_images(inputs: Iterable[str | Path]) -> list[str]:
    """Returns the paths of images, in the order of `inputs`; those in a folder, zip or glob by name.

    Args:
        inputs: files (taken as they are), folders and zips (searched recursively), folders and members of zips
            (`set.zip/cats/1.jpg`), images of packed sets (`packed/files.shards/1.jpg`), globs (`photos/**/*.jpg`).

    Raises:
        DataError: an input does not exist, or has no images.
    """
    return [image for path in inputs for image in _expand(os.path.expanduser(path))]


def _expand(path: str) -> list[str]:
    if os.path.exists(path) or ".zip/" in path or split_path(path) is not None:
        return _images_at(path)
    if not glob.has_magic(path):
        raise missing(path)
    matches = sorted(glob.glob(path, recursive=True))
    images = [match for match in matches if is_image(match) and os.path.isfile(match)]
    if not images:
        count = f"{len(matches)} file{'s' if len(matches) > 1 else ''}, but no image"
        found = f"matches {count if matches else 'no file'}"
        raise DataError(f"{path} {found} (a glob through folders is written **/*.jpg)")
    return images


def _images_at(path: str) -> list[str]:
    is_member = split_path(path) is not None and is_image(path)
    if is_member or (os.path.exists(path) and not os.path.isdir(path) and not path.endswith(".zip")):
        return [path]
    tree = walk(path)
    images = sorted(filter(is_image, tree.files))
    if not images:
        raise DataError(f"{path} holds no images")
    return [f"{tree.root}/{image}" for image in images]
