"""Images by the paths and names in a table, below its root."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from itertools import chain

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.sources.annotations import find_elsewhere
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.tree import Scan, archive_of, walk

MANY = 10_000
"""Paths, from which their folders are listed."""


class ListedImages:
    """Finds images below a root, which is only listed where one is missing at its path."""

    def __init__(self, root: str) -> None:
        self.given = root
        self._places = os.path.abspath(root), os.path.realpath(root)
        self.root, self._exists = _open_root(root)
        self._finder: ImageFinder | None = None
        self._found: set[str] = set()
        self._outside: dict[str, str] = {}
        """Folders outside the root, by their paths without symbolic links -> as the table first calls them."""
        self._one_name = cache(self._first_name)

    @property
    def searched(self) -> bool:
        """Whether an image was missing at its path: then all below the root decide where it is."""
        return self._finder is not None

    def decisive_paths(self, listings: Iterable[Listing]) -> list[str]:
        """Returns the folders of these images, or their zip, which change when one of them goes."""
        archive = archive_of(self.root)
        if archive:
            return [archive]
        folders = {key.rpartition("/")[0] for key in chain.from_iterable(map(Listing.keys, listings))}
        return sorted(os.path.join(self.root, folder) for folder in folders)

    def look_up(self, paths: Sequence[str]) -> None:
        """Lists the folders that many paths lie in, in place of looking for each of them."""
        if len(paths) < MANY or archive_of(self.root):
            return
        named = {path.replace("\\", "/").rpartition("/")[0] for path in paths}
        folders = sorted(
            {posixpath.dirname(_key_of(self._places, f"{folder}/x" if folder else "x")) for folder in named}
        )
        scan = Scan(self.root, partial(_files_in, self.root), len)
        found = self._found = set(chain.from_iterable(scan.over(folders)))
        root = self.root  # a file that the listing has in other words, as on a disk that ignores case, is looked for
        self._exists = lambda key: key in found or os.path.isfile(os.path.join(root, key))

    def at(self, path: str, base: str = "") -> str | None:
        """Returns the key of the image at a path, below the root or its folder `base`; None: there is none."""
        keys = (_key_of(self._places, each) for each in (path, posixpath.join(base, path)))
        found = path if path in self._found else next(filter(None, map(self._spelled, keys)), None)
        if found is None or not (os.path.isabs(found) or found.startswith("../")):
            return found
        folder, name = posixpath.split(found)
        return posixpath.join(self._one_name(folder), name)

    def find(self, path: str, base: str, split: str) -> str | None:
        """Returns the key of the image at a path, or else of one of its name, with or without ending.

        Raises:
            ValueError: several fit.
        """
        if (key := self.at(path, base)) is not None:
            return key
        if self._finder is None:
            self._finder = ImageFinder(walk(self.given))
        return find_elsewhere(self._finder, path, base, split)

    def _first_name(self, folder: str) -> str:
        """The one name of a folder outside the root: as the table first calls it, or its place below the root, if a
        symbolic link leads there."""
        place = os.path.realpath(os.path.join(self.root, folder))
        inside = posixpath.dirname(_key_of(self._places, f"{place}/x"))
        return self._outside.setdefault(place, folder if os.path.isabs(inside) else inside)

    def _spelled(self, key: str) -> str | None:
        """The key as the file is called: a table and a disk may spell accents differently (NFC and NFD)."""
        forms = (unicodedata.normalize(form, key) for form in ("NFC", "NFD"))
        return next((form for form in chain([key], forms) if self._exists(form)), None)


def _files_in(root: str, folder: str) -> list[str]:
    """Returns the keys of the files in a folder below the root; none, if there is no such folder."""
    below = posixpath.join(folder, "")
    try:
        with os.scandir(os.path.join(root, folder)) as entries:
            return [below + entry.name for entry in entries if entry.is_file()]
    except OSError:  # a path through it does not exist either, and is reported with its line
        return []


def _key_of(places: tuple[str, str], path: str) -> str:
    """Returns the path of a cell as a key: with `/`, and relative to the root if it is below it.

    places: the root's absolute path, as given and without symbolic links: `..` goes up from where a link leads to.
    """
    path = os.path.normpath(path.replace("\\", "/"))
    above = places if os.path.isabs(path) else places[1:] if path.startswith("../") else ()
    inside = (os.path.relpath(os.path.join(place, path), place) for place in above)
    return next((key for key in inside if not key.startswith("../")), path)


def _open_root(root: str) -> tuple[str, Callable[[str], bool]]:
    """Returns the root (a folder, or the path of a zip) and whether a key is a file below it."""
    if os.path.isdir(root):
        return root, lambda key: os.path.isfile(os.path.join(root, key))
    tree = walk(root)
    return tree.root, set(tree.files).__contains__
