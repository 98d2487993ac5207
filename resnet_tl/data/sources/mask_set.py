"""Image and mask files made a set, once they have been checked; all faults in one error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, read_values, unknown_values
from resnet_tl.data.images.headers import read_size
from resnet_tl.data.listings.masks import MaskListing, MaskSet, SegmentationListing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.sources.class_list import ClassList
from resnet_tl.errors import DataError

Pairs: TypeAlias = list[tuple[str, str]]
"""The paths of images and their masks below the root."""

SCANNED = 5000
"""Masks per split that are read before training, an even sample of a larger split. A fault in another one is reported
when it is loaded, with the file's name."""


def checked_set(
    root: str, classes: ClassList, coding: Coding, splits: Mapping[str, Pairs], faults: list[str], channels: int
) -> MaskSet:
    """Checks the files of a set and counts the pixels of its classes.

    Args:
        root: folder that the pairs are relative to.
        classes: the classes of the masks.
        coding: maps the values of mask files to classes.
        splits: pairs by split.
        faults: those found so far.
        channels: of the images.

    The splits hold the pairs without a fault.
    """
    listings: dict[str, SegmentationListing] = {}
    pixels, notes = np.zeros(0, np.int64), []
    for split, pairs in splits.items():
        existing = [pair for pair in pairs if not any(_missing(root, path) in faults for path in pair)]
        scanned = existing[:: max(1, -(-len(existing) // SCANNED))]
        if len(scanned) < len(existing):
            notes.append(f"{root}: {len(scanned)} of the {len(existing)} masks of {split} were checked")
        values = _scan(root, scanned, coding, channels, faults)
        if split == "train":
            pixels = values[classes.ids]
            if len(scanned) == len(existing):
                missing = [name for name, count in zip(classes.names, pixels, strict=True) if not count]
                faults += [
                    f"{root}: no training mask shows the class {name!r}; remove it or add images" for name in missing
                ]
    by_file = _by_file(root, faults, splits)
    for split, pairs in splits.items():
        if usable := [pair for pair in pairs if pair[0] not in by_file.values()]:
            images, masks = ([pair[column] for pair in usable] for column in (0, 1))
            listings[split] = MaskListing(root, Rows.of_text(images), Rows.of_text(masks), coding)
    return MaskSet(root, classes.names, listings, notes, by_file, colours=classes.colours, pixels=pixels)


def missing_files(root: str, pairs: Pairs) -> list[str]:
    """Returns a fault for each file that does not exist."""
    return [_missing(root, path) for pair in pairs for path in pair if not os.path.exists(f"{root}/{path}")]


def _by_file(root: str, faults: Sequence[str], splits: Mapping[str, Pairs]) -> dict[str, str]:
    """Returns the faults with the image that each is about, or the file that it names, below the root; "" for none."""
    images = {f"{root}/{mask}": image for pairs in splits.values() for image, mask in pairs}
    paths = {fault: fault.partition(": ")[0] for fault in faults}
    inside = {fault: path[len(root) + 1 :] if path.startswith(f"{root}/") else "" for fault, path in paths.items()}
    return {fault: images.get(path, inside[fault]) for fault, path in paths.items()}


def _missing(root: str, path: str) -> str:
    return f"{root}/{path}: does not exist"


def _scan(root: str, pairs: Pairs, coding: Coding, channels: int, faults: list[str]) -> np.ndarray:
    """Returns the number of pixels of each value in these masks, `[256]`; adds what is wrong to `faults`."""

    def check(pair: tuple[str, str]) -> tuple[np.ndarray, list[str]]:
        return _check(f"{root}/{pair[0]}", f"{root}/{pair[1]}", coding, channels)

    total = np.zeros(256, np.int64)
    with ThreadPoolExecutor() as pool:
        for counts, found in pool.map(check, pairs):
            total += counts
            faults += found
    return total


def _check(image: str, mask: str, coding: Coding, channels: int) -> tuple[np.ndarray, list[str]]:
    """Returns the number of pixels of each value in a mask, `[256]`, and the faults of the pair."""
    try:
        values, size = read_values(mask, coding), read_size(image, channels)
    except DataError as error:
        return np.zeros(256, np.int64), [str(error)]
    counts = np.bincount(values.ravel(), minlength=256)
    faults = []
    if values.shape != size:
        (h, w), (height, width) = values.shape, size
        faults.append(f"{mask}: is {w} x {h} pixels, but its image {width} x {height}")
    if (counts[coding.codes == NO_CLASS] > 0).any():
        faults.append(f"{mask}: {unknown_values(values, coding)}")
    return counts, faults
