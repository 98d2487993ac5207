"""Folders of images and folders of masks, paired by file name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources.class_list import read_classes
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.mask_set import Pairs, checked_set
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.errors import DataError


def read_mask_folder(root: str, class_file: str | None, ignore: Sequence[int], channels: int) -> MaskSet:
    """Reads `root/{train,val,test}/{images,masks}/`, or `root/{images,masks}/` without splits; a mask has its image's
    stem.

    Args:
        root: that folder.
        class_file: class names, see `read_classes`; None: `classes.csv` or `classes.txt` in `root`.
        ignore: pixel values that are ignored.
        channels: of the images.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    classes = read_classes(class_file or _class_file(tree.root), ignore)
    faults: list[str] = []
    splits = {split: _pairs(tree, prefix, faults) for split, prefix in _prefixes(tree).items()}
    return checked_set(tree.root, classes, classes.coding(ignore), splits, faults, channels)


def _prefixes(tree: Tree) -> dict[str, str]:
    if "images" in tree.folders:
        return {"train": ""}
    prefixes = {SPLITS[folder.lower()]: f"{folder}/" for folder in sorted(tree.folders) if folder.lower() in SPLITS}
    if not prefixes:
        raise DataError(
            f"{tree.root} has neither images/ nor train/images/; expected {tree.root}/{{train,val}}/{{images,masks}}"
        )
    return prefixes


def _pairs(tree: Tree, prefix: str, faults: list[str]) -> Pairs:
    """Returns the pairs of a split by stem; adds files without a partner to `faults`."""
    images, masks = (_by_stem(tree, f"{prefix}{folder}/", faults) for folder in ("images", "masks"))
    faults += [
        f"{tree.root}/{images[stem]}: has no mask {prefix}masks/{stem}.png"
        for stem in sorted(images.keys() - masks.keys())
    ]
    faults += [
        f"{tree.root}/{masks[stem]}: is a mask without an image in {prefix}images"
        for stem in sorted(masks.keys() - images.keys())
    ]
    if not images:
        faults.append(f"{tree.root}/{prefix}images holds no images")
    return [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def _by_stem(tree: Tree, folder: str, faults: list[str]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for path in sorted(path for path in tree.files if path.startswith(folder) and is_image(path)):
        stem = os.path.splitext(path.removeprefix(folder))[0]
        if stem in paths:
            faults.append(f"{tree.root}/{path}: has the same stem as {paths[stem]}")
        paths[stem] = path
    return paths


def _class_file(root: str) -> str:
    for name in ("classes.csv", "classes.txt"):
        if Path(root, name).is_file():
            return str(Path(root, name))
    raise DataError(
        f"{root} has neither classes.txt (a name per line) nor classes.csv (id,name,colour); add one, or set "
        "data.class_file"
    )
