"""Images with masks of classes, listed in flat arrays: a mask is a file, or painted from objects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from resnet_tl.data.images.class_masks import ClassMask, Coding, read_mask
from resnet_tl.data.listings.boxes import BoxListing
from resnet_tl.data.listings.faults import raise_or_keep
from resnet_tl.data.listings.listing import ImageSet, Listing, rows_of_paths
from resnet_tl.data.listings.objects import Objects
from resnet_tl.data.listings.odd_masks import OddMask, by_value
from resnet_tl.data.listings.rows import Rows
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import IGNORE, Sample


class MaskListing(Listing):
    """Images with a mask file each, whose path is relative to `root`; a sample's target is the path of its mask.

    Each costs the bytes of both paths and 21. All images are of one class where a set is split.

    orientations: `[N]` uint8, the EXIF orientation by which each mask is rotated with its image; 1: it is upright.
    """

    def __init__(self, root: str, keys: Rows, masks: Rows, coding: Coding, orientations: np.ndarray) -> None:
        super().__init__(root, keys, np.zeros(len(keys), np.int32))
        self.masks, self.coding, self.orientations = masks, coding, orientations

    @classmethod
    def of_pairs(
        cls, root: str, pairs: Sequence[tuple[str, str]], coding: Coding, orientations: np.ndarray
    ) -> MaskListing:
        """Packs the paths of images and masks.

        Raises:
            DataError: a file name is not UTF-8.
        """
        images, masks = (rows_of_paths(root, [pair[column] for pair in pairs]) for column in (0, 1))
        return cls(root, images, masks, coding, orientations)

    def recoded(self, coding: Coding) -> MaskListing:
        """Returns the same files, read by another coding."""
        return MaskListing(self.root, self._keys, self.masks, coding, self.orientations)

    def __getitem__(self, index: int) -> Sample:
        key = self.key(index)
        mask = os.path.join(self.root, self.masks[index].tobytes().decode())
        return Sample(os.path.join(self.root, key), mask, key)

    def classes_of(self, index: int) -> np.ndarray:
        """Reads the mask."""
        return np.flatnonzero(pixel_counts(self.mask(index)))

    def mask(self, index: int) -> ClassMask:
        return read_mask(str(self[index].target), self.coding, int(self.orientations[index]))

    def cache_key(self) -> dict[str, Any]:
        """Returns what decides the masks besides their files, as plain Python."""
        key: dict[str, Any] = {"codes": self.coding.codes.tolist(), "by_colour": self.coding.by_colour}
        if self.coding.palettes:
            key["palettes"] = True
        if (self.orientations > 1).any():
            key["orientations"] = self.orientations.tolist()
        return key

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.masks.nbytes + self.orientations.nbytes

    def select(self, indices: np.ndarray) -> MaskListing:
        masks, orientations = self.masks.select(indices), self.orientations[indices]
        return MaskListing(self.root, self._keys.select(indices), masks, self.coding, orientations)

    def join(self, other: Listing) -> MaskListing:
        assert isinstance(other, MaskListing)
        keys, masks = self._keys.join(other._keys), self.masks.join(other.masks)
        orientations = np.concatenate([self.orientations, other.orientations])
        return MaskListing(self.root, keys, masks, self.coding, orientations)


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


SegmentationListing: TypeAlias = MaskListing | PaintedMaskListing


@dataclass(frozen=True)
class MaskSet(ImageSet[SegmentationListing]):
    """Images whose pixels have classes.

    coding: of the mask files; painted masks have class indices as values.
    colours: `[K, 3]` uint8 RGB, for drawing masks.
    pixels: `[K]` int64, the number of pixels of each class in the training masks (of a sample of them in a large set).
    absent: indices of classes that no mask of any split shows.
    odd: masks with values or colours without a class; each is one of the faults, too.
    """

    coding: Coding = field(kw_only=True)
    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    absent: Sequence[int] = ()
    odd: Sequence[OddMask] = ()

    def usable(self) -> MaskSet:
        raise_or_keep(self.root, self.faults, by_value(self.root, self.faults, self.odd, self.coding))
        return self

    def unseen_in(self, listing: SegmentationListing) -> list[int]:
        return []  # the source has reported classes that no mask shows


def pixel_counts(mask: ClassMask) -> np.ndarray:
    """Returns how many pixels each class has, `[IGNORE]` int64."""
    return np.bincount(mask.ravel(), minlength=IGNORE + 1)[:IGNORE]


def paint(objects: Objects, size: tuple[int, int]) -> ClassMask:
    """Paints class indices `[H, W]` uint8: 0 where there is no object, `IGNORE` in crowds, small objects over large
    ones."""
    mask = np.zeros(size, np.uint8)
    pixels = [to_pixels(each, *size) for each in objects.masks or []]
    for index in sorted(range(len(pixels)), key=lambda i: (not objects.crowd[i], -pixels[i].sum())):
        mask[pixels[index]] = IGNORE if objects.crowd[index] else objects.labels[index]
    return mask
