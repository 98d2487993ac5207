"""Objects with polygons or run lengths as a set for segmentation: painted as classes of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.masks import MaskSet, PaintedMaskListing, SegmentationListing
from resnet_tl.data.sources.class_list import of_values, palette
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.mask_scan import SCANNED
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.tools.tool import ToolName
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

BACKGROUND = "background"


def read_coco_masks(
    root: str,
    annotations: Mapping[str, str] | None = None,
    images: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> MaskSet:
    """Reads a folder with COCO's annotations, see `read_coco`. The classes are the background and the categories.

    Raises:
        DataError: the set cannot be read at all (other faults are in its `faults`), there are no polygons, or too
            many categories.
    """
    return _paint(read_coco(root, annotations, images, _objects(classes), channels, keep_empty=keep_empty))


def read_tool_masks(
    root: str,
    tool: ToolName | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> MaskSet:
    """Reads an export of an annotation tool, see `read_tool_export`. The classes are the background and the labels.

    Raises:
        DataError: as `read_coco_masks`.
    """
    return _paint(read_tool_export(root, tool, _objects(classes), channels, keep_empty=keep_empty))


def _objects(classes: Sequence[str] | None) -> list[str] | None:
    """The classes of a checkpoint without the background."""
    return None if classes is None else list(classes)[1:]


def _paint(objects: BoxSet) -> MaskSet:
    names = [BACKGROUND, *objects.classes]
    if len(names) >= NO_CLASS:
        raise DataError(
            f"{objects.root}: has {len(objects.classes)} categories; segmentation takes at most {NO_CLASS - 2}"
        )
    if not all(listing.has_masks for listing in objects.splits.values()):
        objects.usable()
        raise DataError(f"{objects.root}: its objects have only boxes; expected polygons or run lengths")
    painted = {split: _painted(listing) for split, listing in objects.splits.items()}
    pixels = _count_pixels(painted.get("train", next(iter(painted.values()))), len(names))
    notes = [*objects.notes, *_missing_class_notes(objects.root, names, pixels)]
    splits: dict[str, SegmentationListing] = {**painted}
    objects_shown = np.sum([listing.class_counts(len(names)) for listing in painted.values()], axis=0)
    absent = (np.flatnonzero(objects_shown[1:] == 0) + 1).tolist()
    return MaskSet(
        objects.root,
        names,
        splits,
        notes,
        objects.faults,
        objects.remarks,
        colours=palette(len(names)),
        pixels=pixels,
        absent=absent,
        coding=of_values(range(len(names)), names).coding([IGNORE]),
    )


def _painted(listing: BoxListing) -> PaintedMaskListing:
    listing.packed = replace(listing.packed, labels=listing.packed.labels + 1)
    return PaintedMaskListing.of_objects(listing)


def _count_pixels(listing: PaintedMaskListing, classes: int) -> np.ndarray:
    """Returns the pixels of each class in the masks, `[K]` int64; of a large set in an even sample of them."""
    pixels = np.zeros(classes, np.int64)
    for index in range(0, len(listing), max(1, -(-len(listing) // SCANNED))):
        pixels += np.bincount(listing.mask(index).ravel(), minlength=256)[:classes]
    return pixels


def _missing_class_notes(root: str, names: Sequence[str], pixels: np.ndarray) -> list[str]:
    missing = [name for name, count in zip(names, pixels, strict=True) if not count]
    if not missing:
        return []
    return [f"{root}: no training mask shows {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"]
