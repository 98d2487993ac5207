"""Objects with polygons or run lengths as classes of pixels: COCO's annotations as a set to segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, ClassMask
from resnet_tl.data.listings.boxes import BoxListing, Objects
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.mask_files import SCANNED, palette
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import IGNORE

BACKGROUND = "background"


class PaintedMaskListing(BoxListing):
    """Images whose masks are painted from their objects. `labels` count from 1: 0 is the background."""

    @classmethod
    def of_objects(cls, listing: BoxListing) -> PaintedMaskListing:
        return cls(listing.root, listing._keys, listing.sizes, listing.packed)

    def mask(self, index: int) -> ClassMask:
        return paint(self.objects(index), self.size(index))

    def select(self, indices: np.ndarray) -> PaintedMaskListing:
        return self.of_objects(super().select(indices))

    def join(self, other: Listing) -> PaintedMaskListing:
        return self.of_objects(super().join(other))


def read_coco_masks(
    root: str,
    annotations: Mapping[str, str] | None = None,
    images: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
) -> MaskSet:
    """A folder with COCO's annotations, see `read_coco`. The classes are the background and the categories.

    Raises:
        DataError: one, with everything that is wrong with the set; or there are no polygons, or too many categories.
    """
    known = None if classes is None else list(classes)[1:]
    found = read_coco(root, annotations, images, known, channels)
    names = [BACKGROUND, *found.classes]
    if len(names) >= NO_CLASS:
        raise DataError(f"{root}: has {len(found.classes)} categories; expected at most {NO_CLASS - 2} to segment")
    splits: dict[str, Listing] = {}
    for split, listing in found.splits.items():
        assert isinstance(listing, BoxListing)
        if not listing.has_masks:
            raise DataError(f"{root}: its objects have boxes alone; expected polygons or run lengths to segment by")
        listing.packed = replace(listing.packed, labels=listing.packed.labels + 1)
        splits[split] = PaintedMaskListing.of_objects(listing)
    pixels = _count(splits, len(names))
    notes = [*found.notes, *_empty(found.root, names, pixels)]
    return MaskSet(found.root, names, splits, notes=notes, colours=palette(len(names)), pixels=pixels)


def paint(objects: Objects, size: tuple[int, int]) -> ClassMask:
    """Class indices `[H, W]` uint8: 0 where there is no object, `IGNORE` in crowds; smaller objects lie over larger
    ones."""
    mask = np.zeros(size, np.uint8)
    pixels = [to_pixels(each, *size) for each in objects.masks or []]
    for index in sorted(range(len(pixels)), key=lambda i: (not objects.crowd[i], -pixels[i].sum())):
        mask[pixels[index]] = IGNORE if objects.crowd[index] else objects.labels[index]
    return mask


def _count(splits: Mapping[str, Listing], classes: int) -> np.ndarray:
    """Pixels of each class in the training masks, `[K]` int64; of a large split evenly many of them."""
    listing = splits.get("train", next(iter(splits.values())))
    assert isinstance(listing, PaintedMaskListing)
    pixels = np.zeros(classes, np.int64)
    for index in range(0, len(listing), max(1, -(-len(listing) // SCANNED))):
        pixels += np.bincount(listing.mask(index).ravel(), minlength=256)[:classes]
    return pixels


def _empty(root: str, names: Sequence[str], pixels: np.ndarray) -> list[str]:
    lacking = [name for name, count in zip(names, pixels, strict=True) if not count]
    if not lacking:
        return []
    return [f"{root}: no training mask shows {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"]
