"""Images by the names in annotations: paths of another machine, bare file names, or names without ending."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import defaultdict
from functools import cached_property

from resnet_tl.data.sources.tree import Tree, is_image


def canonical(path: str) -> str:
    """Returns a path in the form that all ways to write it share: composed letters, its ending in lower case.

    Some systems and zips decompose the letters of file names: `é` as `e` and an accent.
    """
    stem, suffix = posixpath.splitext(unicodedata.normalize("NFC", path))
    return stem + suffix.lower()


class ImageFinder:
    """The images below a root."""

    def __init__(self, tree: Tree) -> None:
        self._keys = {file for file in tree.files if is_image(file)}

    def find(self, name: str, folder: str) -> str | None:
        """The key of the image called `name` in a document in `folder`, below the root; None: there is none.

        Raises:
            ValueError: several images fit equally well.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        relative = posixpath.normpath(posixpath.join(folder, *parts)) if parts else ""
        candidates = [relative, *("/".join(parts[start:]) for start in range(len(parts)))]
        if found := next((path for path in candidates if path in self._keys), None):
            return found
        if found := next((key for path in candidates if (key := self._canonical.get(canonical(path)))), None):
            return found
        same_name = self._by_name.get(canonical(parts[-1]), []) if parts else []
        if len(same_name) > 1:
            raise ValueError(f"may be {same_name[0]} or {same_name[1]}")
        return same_name[0] if same_name else None

    def unused(self, used: set[str]) -> list[str]:
        """Returns the keys of all images but these, sorted."""
        return sorted(self._keys - used)

    @cached_property
    def _canonical(self) -> dict[str, str]:
        """Keys by their canonical form, where no other file has the same."""
        found: dict[str, list[str]] = defaultdict(list)
        for key in self._keys:
            found[canonical(key)].append(key)
        return {path: keys[0] for path, keys in found.items() if len(keys) == 1}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Keys by file name, with its ending and without."""
        found: dict[str, list[str]] = defaultdict(list)
        for key in sorted(self._keys):
            name = canonical(posixpath.basename(key))
            found[name].append(key)
            found[posixpath.splitext(name)[0]].append(key)
        return found
