"""Images with objects, listed in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from resnet_tl.data.listings.listing import ImageSet, Listing
from resnet_tl.data.listings.objects import Objects, PackedObjects
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Code


class BoxListing(Listing):
    """Images with objects. A sample's target is the classes in the image, by which a set is split.

    Each costs the bytes of its key and 32, 4 per class in it, and the numbers of its objects.

    Attributes:
        sizes: `[N, 2]` int32 (h, w) of the upright images.
    """

    def __init__(self, root: str, keys: Rows, sizes: np.ndarray, packed: PackedObjects) -> None:
        super().__init__(root, keys, packed.classes())
        self.sizes, self.packed = sizes, packed

    def size(self, index: int) -> tuple[int, int]:
        """Returns (h, w) of the upright image."""
        height, width = self.sizes[index].tolist()
        return height, width

    def objects(self, index: int) -> Objects:
        """Returns the objects of an image, in pixels of the whole, upright image."""
        return self.packed.unpack(index, self.size(index))

    def check_boxes(self) -> None:
        """Raises DataError for a box without area, or with coordinates that are not numbers: its loss would be NaN."""
        boxes = self.packed.boxes
        wrong = np.flatnonzero(~(boxes[:, 2:] > boxes[:, :2]).all(1))
        if len(wrong):
            image = int(np.searchsorted(self.packed.starts, wrong[0], side="right")) - 1
            corners = ", ".join(f"{value:g}" for value in boxes[wrong[0]].tolist())
            raise DataError(
                f"{self.root}: {self.key(image)} has the box [{corners}], which has no area (such boxes: "
                f"{len(wrong):,}); expected x1, y1, x2, y2 with x1 < x2 and y1 < y2"
            )

    def cache_key(self) -> dict[str, Any]:
        """Returns what identifies the annotations, which the image files do not, as plain Python."""
        digest = blake2b(digest_size=16)
        for values in self.packed.arrays():
            digest.update(np.ascontiguousarray(values).tobytes())
        return {"objects": digest.hexdigest()}

    @property
    def has_masks(self) -> bool:
        return self.packed.masks is not None

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.sizes.nbytes + self.packed.nbytes

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns how many objects, without crowds, each of K classes has: `[K]` int64."""
        return np.bincount(self.packed.labels[~self.packed.crowd], minlength=classes)

    def select(self, indices: np.ndarray) -> BoxListing:
        return BoxListing(self.root, self._keys.select(indices), self.sizes[indices], self.packed.select(indices))

    def relabelled(self, places: np.ndarray) -> BoxListing:
        """Returns the listing with class `places[k]` in place of class k; `places` is `[K]` int32."""
        return BoxListing(self.root, self._keys, self.sizes, replace(self.packed, labels=places[self.packed.labels]))

    def join(self, other: Listing) -> BoxListing:
        assert isinstance(other, BoxListing)
        sizes = np.concatenate([self.sizes, other.sizes])
        return BoxListing(self.root, self._keys.join(other._keys), sizes, self.packed.join(other.packed))


@dataclass(frozen=True)
class BoxSet(ImageSet[BoxListing]):
    """Images with objects.

    codes: the set's own category id of each class.
    """

    codes: list[Code] = field(default_factory=list)
