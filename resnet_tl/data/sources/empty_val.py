"""A folder to validate on that is there but empty: a part of train would be split off in its place."""

from __future__ import annotations

from collections.abc import Container, Iterable

from resnet_tl.data.listings.faults import refuse_or_keep
from resnet_tl.data.sources.folder_names import split_of
from resnet_tl.data.sources.tree import Tree


def refuse_empty_val(tree: Tree, splits: Container[str], files: Iterable[str]) -> None:
    """Refuses a folder named after the split `val` that holds none of the files, where the set has no such split."""
    folders = [folder for folder in tree.folders if split_of(folder.rpartition("/")[2]) == "val"]
    if "val" in splits or not folders:
        return
    folder = min(folders)
    if not any(file.startswith(f"{folder}/") for file in files):
        refuse_or_keep(
            f"{tree.root}/{folder}: holds no images; fill it, or remove it to validate on a part of train "
            "(data.val_fraction)"
        )
