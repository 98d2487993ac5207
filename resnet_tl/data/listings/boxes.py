"""Which images there are and what is annotated in them, in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from resnet_tl.data.listings.listing import ImageSet, Listing
from resnet_tl.data.listings.rows import Rows, ranges
from resnet_tl.structures.masks import Mask, RunLengths


class Objects(NamedTuple):
    """M objects of one image, in its pixels.

    boxes: `[M, 4]` float32 x1, y1, x2, y2. labels: `[M]` int64. crowd: `[M]` bool. area: `[M]` float32, of the object.
    masks: M of them; None where the set has none.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    masks: list[Mask] | None = None

    def where(self, chosen: np.ndarray) -> Objects:
        """Those where `chosen` `[M]` is True."""
        if chosen.all():
            return self
        masks = None if self.masks is None else [self.masks[i] for i in np.flatnonzero(chosen)]
        return Objects(self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.area[chosen], masks)

    def join(self, other: Objects) -> Objects:
        boxes, labels, crowd, area = (np.concatenate(pair) for pair in zip(self[:4], other[:4], strict=True))
        masks = None if self.masks is None or other.masks is None else self.masks + other.masks
        return Objects(boxes, labels, crowd, area, masks)


NUMBERS = ("boxes", "labels", "crowd", "area")

NO_OBJECTS = Objects(
    np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.float32), masks=[]
)


@dataclass(frozen=True)
class PackedMasks:
    """Masks of M objects: polygons or run lengths.

    polygons: a row each of corners x, y, x, y ..., float32; those of object m are number starts[m] to starts[m + 1].
    runs: a row an object of int32 run lengths, of the image's size; empty where it has polygons.
    """

    polygons: Rows
    starts: np.ndarray
    runs: Rows

    def arrays(self) -> list[np.ndarray]:
        return [self.starts, *(part for rows in (self.polygons, self.runs) for part in (rows.values, rows.offsets))]

    def of(self, index: int, size: tuple[int, int]) -> Mask:
        if len(counts := self.runs[index]):
            return RunLengths(counts, size)
        return [self.polygons[i].reshape(-1, 2) for i in range(self.starts[index], self.starts[index + 1])]

    def select(self, objects: np.ndarray) -> PackedMasks:
        lengths = np.diff(self.starts)[objects]
        polygons = self.polygons.select(ranges(self.starts[objects], lengths))
        return PackedMasks(polygons, _offsets(lengths), self.runs.select(objects))

    def join(self, other: PackedMasks) -> PackedMasks:
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        return PackedMasks(self.polygons.join(other.polygons), starts, self.runs.join(other.runs))


@dataclass(frozen=True)
class PackedObjects:
    """Objects of N images, M in all, those of an image together: number starts[n] to starts[n + 1].

    boxes `[M, 4]` float32, labels `[M]` int32, crowd `[M]` bool, area `[M]` float32, see `Objects`.
    """

    starts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    masks: PackedMasks | None

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in self.arrays())

    def of(self, index: int, size: tuple[int, int]) -> Objects:
        """Of the image at `index`, which is of `size` (h, w)."""
        those = slice(self.starts[index], self.starts[index + 1])
        masks = None if self.masks is None else [self.masks.of(i, size) for i in range(those.start, those.stop)]
        labels = self.labels[those].astype(np.int64)
        return Objects(self.boxes[those], labels, self.crowd[those], self.area[those], masks)

    def select(self, images: np.ndarray) -> PackedObjects:
        lengths = np.diff(self.starts)[images]
        objects = ranges(self.starts[images], lengths)
        parts = {name: getattr(self, name)[objects] for name in NUMBERS}
        return PackedObjects(_offsets(lengths), **parts, masks=self.masks and self.masks.select(objects))

    def join(self, other: PackedObjects) -> PackedObjects:
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        parts = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in NUMBERS}
        masks = self.masks and other.masks and self.masks.join(other.masks)
        return PackedObjects(starts, **parts, masks=masks)

    def arrays(self) -> list[np.ndarray]:
        """All that is known of them."""
        masks = [] if self.masks is None else self.masks.arrays()
        return [self.starts, *(getattr(self, name) for name in NUMBERS), *masks]

    def classes(self) -> Rows:
        """Of each image the classes that it shows, each once."""
        owner = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        shown = np.unique(np.stack([owner, self.labels], 1), axis=0)
        return Rows(shown[:, 1].astype(np.int32), _offsets(np.bincount(shown[:, 0], minlength=len(self.starts) - 1)))


class BoxListing(Listing):
    """Images with objects. A sample's target is the classes that it shows, by which a set is parted.

    Costs the bytes of the key and 32 each, 4 a class shown, and the numbers of the objects.

    Attributes:
        sizes: `[N, 2]` int32 (h, w), of the upright image.
    """

    def __init__(self, root: str, keys: Rows, sizes: np.ndarray, packed: PackedObjects) -> None:
        super().__init__(root, keys, packed.classes())
        self.sizes, self.packed = sizes, packed

    def size(self, index: int) -> tuple[int, int]:
        height, width = self.sizes[index].tolist()
        return height, width

    def objects(self, index: int) -> Objects:
        """In pixels of the whole, upright image."""
        return self.packed.of(index, self.size(index))

    def cache_key(self) -> dict[str, Any]:
        """What there is in the images, beside the files, as plain Python."""
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
        """How many objects, crowds left out, there are of each of K classes: `[K]` int64."""
        return np.bincount(self.packed.labels[~self.packed.crowd], minlength=classes)

    def select(self, indices: np.ndarray) -> BoxListing:
        return BoxListing(self.root, self._keys.select(indices), self.sizes[indices], self.packed.select(indices))

    def join(self, other: Listing) -> BoxListing:
        assert isinstance(other, BoxListing)
        sizes = np.concatenate([self.sizes, other.sizes])
        return BoxListing(self.root, self._keys.join(other._keys), sizes, self.packed.join(other.packed))


@dataclass(frozen=True)
class BoxSet(ImageSet):
    """Images with objects.

    codes: the set's own category id of each class.
    """

    codes: list[int] = field(default_factory=list)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
