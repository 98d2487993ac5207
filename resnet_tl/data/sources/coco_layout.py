"""Finds the json files and the images of a set in COCO's format."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from resnet_tl.data.sources.forms import other_reader
from resnet_tl.data.sources.image_finder import canonical
from resnet_tl.data.sources.split_files import files_by_split, split_named
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError

PROBED = 50
"""File names that are looked up to find the folder of the images."""


def annotation_files(tree: Tree) -> dict[str, str]:
    """Returns the json file of each split, below the root.

    Raises:
        DataError: there is none, none with a split's name, or two of a split.
    """
    jsons = sorted(file for file in tree.files if file.endswith(".json"))
    chosen = [file for file in jsons if posixpath.basename(file).startswith("instances")] or jsons
    if not chosen:
        raise DataError(
            f"{tree.root} holds no .json; expected COCO's annotations, as instances_train.json"
            f"{other_reader(tree, 'CocoDetection')}"
        )
    return files_by_split(tree.root, chosen, "data.annotations")


def image_folder(tree: Tree, split: str, file: str, images: Sequence[dict[str, Any]]) -> str:
    """Returns the folder in which most of the file names exist; of several, the json's own or the split's."""
    names = [name for image in images[:PROBED] if isinstance(name := image.get("file_name"), str)]
    there = set(map(canonical, tree.files))

    def rank(folder: str) -> tuple[int, bool, bool, int]:
        found = sum(canonical(joined(folder, name)) in there for name in names)
        return found, folder == posixpath.dirname(file), split_named(folder) == split, -folder.count("/")

    return max(["", *sorted(tree.folders)], key=rank)


def joined(folder: str, file_name: str) -> str:
    """Returns the path of an image below the root."""
    return posixpath.normpath(posixpath.join(folder, file_name.replace("\\", "/")))
