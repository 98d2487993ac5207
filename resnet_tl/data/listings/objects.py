"""The objects of images, packed in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from resnet_tl.data.listings.rows import Rows, offsets_of, ranges
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
        """Returns the objects for which `chosen` `[M]` is True."""
        if chosen.all():
            return self
        masks = None if self.masks is None else [self.masks[i] for i in np.flatnonzero(chosen)]
        return Objects(self.boxes[chosen], self.labels[chosen], self.crowd[chosen], self.area[chosen], masks)

    def join(self, other: Objects) -> Objects:
        """Returns the objects of both."""
        boxes, labels, crowd, area = (np.concatenate(pair) for pair in zip(self[:4], other[:4], strict=True))
        masks = None if self.masks is None or other.masks is None else self.masks + other.masks
        return Objects(boxes, labels, crowd, area, masks)


NO_OBJECTS = Objects(
    np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.float32), masks=[]
)


@dataclass(frozen=True)
class PackedMasks:
    """The masks of M objects: polygons or run lengths.

    polygons: one row per polygon, its corners x, y, x, y ... as float32; object m has those from starts[m] up to
    starts[m + 1]. runs: one row per object, run lengths in int32 of the image's size; empty where it has polygons.
    """

    polygons: Rows
    starts: np.ndarray
    runs: Rows

    def arrays(self) -> list[np.ndarray]:
        return [self.starts, *(array for rows in (self.polygons, self.runs) for array in (rows.values, rows.offsets))]

    def unpack(self, index: int, size: tuple[int, int]) -> Mask:
        """Returns the mask of the object at `index`, in an image of `size` (h, w)."""
        if len(counts := self.runs[index]):
            return RunLengths(counts, size)
        return [self.polygons[i].reshape(-1, 2) for i in range(self.starts[index], self.starts[index + 1])]

    def select(self, objects: np.ndarray) -> PackedMasks:
        lengths = np.diff(self.starts)[objects]
        polygons = self.polygons.select(ranges(self.starts[objects], lengths))
        return PackedMasks(polygons, offsets_of(lengths), self.runs.select(objects))

    def join(self, other: PackedMasks) -> PackedMasks:
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        return PackedMasks(self.polygons.join(other.polygons), starts, self.runs.join(other.runs))


NUMBERS = ("boxes", "labels", "crowd", "area")
"""The arrays of `PackedObjects` with a row per object."""


@dataclass(frozen=True)
class PackedObjects:
    """The objects of N images, M in all, image by image: image n has those from starts[n] up to starts[n + 1].

    boxes `[M, 4]` float32, labels `[M]` int32, crowd `[M]` bool, area `[M]` float32; see `Objects`.
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

    def unpack(self, index: int, size: tuple[int, int]) -> Objects:
        """Returns the objects of the image at `index`, which has `size` (h, w)."""
        rows = slice(self.starts[index], self.starts[index + 1])
        masks = None if self.masks is None else [self.masks.unpack(i, size) for i in range(rows.start, rows.stop)]
        labels = self.labels[rows].astype(np.int64)
        return Objects(self.boxes[rows], labels, self.crowd[rows], self.area[rows], masks)

    def select(self, images: np.ndarray) -> PackedObjects:
        lengths = np.diff(self.starts)[images]
        objects = ranges(self.starts[images], lengths)
        numbers = {name: getattr(self, name)[objects] for name in NUMBERS}
        return PackedObjects(offsets_of(lengths), **numbers, masks=self.masks and self.masks.select(objects))

    def join(self, other: PackedObjects) -> PackedObjects:
        starts = np.concatenate([self.starts, other.starts[1:] + self.starts[-1]])
        numbers = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in NUMBERS}
        masks = self.masks and other.masks and self.masks.join(other.masks)
        return PackedObjects(starts, **numbers, masks=masks)

    def arrays(self) -> list[np.ndarray]:
        """Returns all arrays, which together are all that is known of the objects."""
        masks = [] if self.masks is None else self.masks.arrays()
        return [self.starts, *(getattr(self, name) for name in NUMBERS), *masks]

    def classes(self) -> Rows:
        """Returns the classes of each image, each once."""
        owner = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        pairs = np.unique(np.stack([owner, self.labels], 1), axis=0)
        counts = np.bincount(pairs[:, 0], minlength=len(self.starts) - 1)
        return Rows(pairs[:, 1].astype(np.int32), offsets_of(counts))
