"""Images by the paths and names in a table, below its root."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Callable
from itertools import chain

from resnet_tl.data.sources.annotations import find_elsewhere
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.tree import walk


class ListedImages:
    """Finds images below a root, which is only listed where one is missing at its path."""

    def __init__(self, root: str) -> None:
        self._given = root
        self.root, self._exists = _open_root(root)
        self._finder: ImageFinder | None = None

    def at(self, path: str, base: str = "") -> str | None:
        """Returns the key of the image at a path, below the root or its folder `base`; None: there is none."""
        keys = (_key_of(self._given, path), posixpath.join(base, path))
        return next((key for key in map(self._spelled, keys) if key is not None), None)

    def find(self, path: str, base: str, split: str) -> str | None:
        """Returns the key of the image at a path, or else of one of its name, with or without ending.

        Raises:
            ValueError: several fit.
        """
        if (key := self.at(path, base)) is not None:
            return key
        if self._finder is None:
            self._finder = ImageFinder(walk(self._given))
        return find_elsewhere(self._finder, path, base, split)

    def _spelled(self, key: str) -> str | None:
        """The key as the file is called: a table and a disk may spell accents differently (NFC and NFD)."""
        forms = (unicodedata.normalize(form, key) for form in ("NFC", "NFD"))
        return next((form for form in chain([key], forms) if self._exists(form)), None)


def _key_of(root: str, path: str) -> str:
    """Returns the path of a cell as a key: with `/`, and relative to the root if it is below it."""
    path = path.replace("\\", "/")
    if os.path.isabs(path):
        inside = os.path.relpath(path, os.path.abspath(root))
        return path if inside.startswith("..") else inside
    return os.path.normpath(path)


def _open_root(root: str) -> tuple[str, Callable[[str], bool]]:
    """Returns the root (a folder, or the path of a zip) and whether a key is a file below it."""
    if os.path.isdir(root):
        return root, lambda key: os.path.isfile(os.path.join(root, key))
    tree = walk(root)
    return tree.root, set(tree.files).__contains__
