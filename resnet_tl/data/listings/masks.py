"""Which images there are and where their masks are, in flat arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resnet_tl.data.images.class_masks import ClassMask, Coding, read_mask
from resnet_tl.data.listings.listing import ImageSet, Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.structures.records import Sample


class MaskListing(Listing):
    """Images with a mask file each, its path below `root`; a sample's target is the mask's path.

    Costs the bytes of both paths and 20 each. All images are one class to whoever parts them.
    """

    def __init__(self, root: str, keys: Rows, masks: Rows, coding: Coding) -> None:
        super().__init__(root, keys, np.zeros(len(keys), np.int32))
        self.masks, self.coding = masks, coding

    def __getitem__(self, index: int) -> Sample:
        key = self.key(index)
        mask = os.path.join(self.root, self.masks[index].tobytes().decode())
        return Sample(os.path.join(self.root, key), mask, key)

    def mask(self, index: int) -> ClassMask:
        return read_mask(str(self[index].target), self.coding)

    def cache_key(self) -> dict[str, Any]:
        """What decides, beside the files, what a mask is, as plain Python."""
        return {"codes": self.coding.codes.tolist(), "by_colour": self.coding.by_colour}

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.masks.nbytes

    def select(self, indices: np.ndarray) -> MaskListing:
        return MaskListing(self.root, self._keys.select(indices), self.masks.select(indices), self.coding)

    def join(self, other: Listing) -> MaskListing:
        assert isinstance(other, MaskListing)
        return MaskListing(self.root, self._keys.join(other._keys), self.masks.join(other.masks), self.coding)


@dataclass(frozen=True)
class MaskSet(ImageSet):
    """Images whose pixels have classes; their listings give a `mask` by index.

    colours: `[K, 3]` uint8 RGB, in which masks are shown.
    pixels: `[K]` int64, of each class in the training masks (of a sample of them in a large set).
    """

    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
