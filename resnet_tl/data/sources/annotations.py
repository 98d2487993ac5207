"""What all sources of images with objects share: objects are checked, packed and made a set."""

from __future__ import annotations

import math
import posixpath
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, count
from typing import Any

import numpy as np

from resnet_tl.data.images.limits import PIXELS
from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.listings.objects import PackedMasks, PackedObjects
from resnet_tl.data.listings.rows import Rows, offsets_of
from resnet_tl.data.sources.class_names import check_known
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.orientation import Entry, measure
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask, RunLengths, orient, orient_points
from resnet_tl.structures.records import Code

TOLERANCE = 1.0
"""Pixels by which a box may exceed its image without a note: tools round, and count pixels from 0 or from 1."""
HUGE = 1e9
"""Larger than any coordinate or area in pixels."""
FAR = 2.0
"""Larger numbers cannot be fractions of an image, but pixels."""


def annotated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """Returns (h, w) of an image as its annotations give it; None where they do not: absent, 0 or -1, as tools write.

    Raises:
        ValueError: not whole numbers of pixels.
    """
    if height in (None, "") or width in (None, ""):
        return None
    try:
        size = (int(float(height)), int(float(width)))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"has the size {str(width)[:40]} x {str(height)[:40]}; expected whole numbers") from None
    if size[0] * size[1] > PIXELS.largest:
        raise ValueError(f"has the size {size[1]:.10g} x {size[0]:.10g}; expected at most {PIXELS.largest} pixels")
    return size if min(size) > 0 else None


def in_fractions(numbers: Iterable[float], findings: Findings) -> bool:
    """Returns whether a set's boxes are in fractions of their images, and notes it: as pixels, all lie in a corner.

    numbers: of all boxes of the set.
    """
    some = False
    for number in numbers:
        some = True
        if abs(number) > FAR:
            return False
    if some:
        findings.notes.append(f"{findings.name}: all boxes are between 0 and 1, read as fractions of their images")
    return some


def split_in(key: str, otherwise: str = "train") -> str:
    """Returns the split that a folder in an image's path is named after, or `otherwise`."""
    folders = posixpath.dirname(key).lower().split("/")
    return next((SPLITS[name] for name in folders if name in SPLITS), otherwise)


def find_elsewhere(finder: ImageFinder, name: str, folder: str, split: str) -> str | None:
    """Returns the key of an image that does not lie where its annotations say, as of another machine; None: there is
    none of its name, or only in the folder of another split.

    Raises:
        ValueError: several images fit equally well.
    """
    key = finder.find(name, folder)
    return key if key is not None and split_in(key, otherwise=split) == split else None


class BoxListingBuilder:
    """Collects the objects of a split's images and packs them; see `measure` about images with an EXIF orientation.

    Args:
        entries: the images.
        classes: K names.
        channels: of the images.
        findings: receives faults and notes.
    """

    def __init__(self, entries: Sequence[Entry], classes: Sequence[str], channels: int, findings: Findings) -> None:
        self.entries, self.classes, self.findings = entries, classes, findings
        self.sizes, self.orientations = measure(entries, channels, findings)
        findings.images.update({entry.name: entry.key for entry in entries})
        # Flat arrays: as Python objects, the annotations of a large set would take gigabytes.
        self.owners, self.labels, self.crowds = array("i"), array("i"), array("b")
        self.boxes, self.areas = array("d"), array("d")
        self.places: list[str] = []
        self.corners, self.corner_counts, self.polygon_counts = array("f"), array("q"), array("q")
        self.runs, self.run_counts = array("i"), array("q")
        self.masked = 0
        """Objects with a mask; the others fall back to their boxes."""
        self.clipped: list[str] = []
        self.degenerate: list[str] = []

    def add(
        self,
        image: int,
        label: int | None,
        box: Sequence[float],
        place: str,
        *,
        crowd: bool = False,
        area: float = float("nan"),
        mask: Mask | None = None,
    ) -> None:
        """Adds an object to an image. A box that is not one becomes a fault.

        Args:
            image: index of its entry.
            label: None: an unknown class, which has been reported; the rest is checked all the same.
            box: x1, y1, x2, y2 in the annotation's pixels.
            place: where it is in the annotations, `annotation 17`.
            area: in pixels; NaN: that of the box.
        """
        if not all(map(math.isfinite, box)):
            name = self._name(image, label, place)
            self.findings.faults.append(f"{name} has the box {_formatted(box)}; expected four finite numbers")
            return
        if label is None:
            return
        if mask is None:
            x1, y1, x2, y2 = (max(-HUGE, min(HUGE, side)) for side in box)
            mask = [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)]
        else:
            self.masked += 1
        if (orientation := self.orientations[image]) > 1:
            box, mask = self._rotated(image, box, mask, orientation)
        self.owners.append(image)
        self.labels.append(label)
        self.crowds.append(crowd)
        self.boxes.extend(box)
        self.areas.append(area)
        self.places.append(place)
        self._add_mask(mask)

    def file_size(self, image: int) -> tuple[int, int]:
        """Returns (h, w) of the image as it was annotated."""
        height, width = self.sizes[image].tolist()
        return (width, height) if self.orientations[image] >= 5 else (height, width)

    def build(self, with_masks: bool) -> BoxListing:
        """Packs what was added. Boxes are clipped to their images and degenerate ones skipped; both are recorded."""
        owners, boxes = np.array(self.owners, np.int64), np.array(self.boxes).reshape(-1, 4)
        limits = self.sizes[owners][:, [1, 0, 1, 0]]
        clipped = boxes.clip(0, limits).astype(np.float32)
        empty = (clipped[:, 2:] <= clipped[:, :2]).any(1)
        beyond = ~empty & ((boxes < -TOLERANCE) | (boxes > limits + TOLERANCE)).any(1)

        def named(i: int) -> str:
            return self._name(self.owners[i], self.labels[i], self.places[i])

        known = (self.sizes[owners] > 1).any(1)  # the size of an unreadable image is 1 x 1
        self.clipped += [named(i) for i in np.flatnonzero(beyond & known).tolist()]
        self.degenerate += [f"{named(i)} at {_formatted(boxes[i])}" for i in np.flatnonzero(empty & known).tolist()]
        kept = np.flatnonzero(~empty)
        kept = kept[np.argsort(owners[kept], kind="stable")]
        return self._packed(kept, owners, clipped, with_masks)

    def _packed(self, kept: np.ndarray, owners: np.ndarray, boxes: np.ndarray, with_masks: bool) -> BoxListing:
        areas, boxes = np.array(self.areas, np.float32)[kept], boxes[kept]
        box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        packed = PackedObjects(
            offsets_of(np.bincount(owners[kept], minlength=len(self.entries))),
            boxes,
            np.array(self.labels, np.int32)[kept],
            np.array(self.crowds, bool)[kept],
            np.where(np.isfinite(areas), areas, box_areas),
            self._packed_masks().select(kept) if with_masks else None,
        )
        try:
            keys = Rows.of_text([entry.key for entry in self.entries])
        except UnicodeEncodeError as error:
            raise DataError(f"{self.findings.root}: the file name {error.object!r} is not UTF-8; rename it") from None
        return BoxListing(self.findings.root, keys, self.sizes, packed)

    def _packed_masks(self) -> PackedMasks:
        polygons = Rows(np.array(self.corners, np.float32), offsets_of(np.array(self.corner_counts, np.int64)))
        runs = Rows(np.array(self.runs, np.int32), offsets_of(np.array(self.run_counts, np.int64)))
        return PackedMasks(polygons, offsets_of(np.array(self.polygon_counts, np.int64)), runs)

    def _add_mask(self, mask: Mask) -> None:
        runs = mask.counts.astype(np.int32) if isinstance(mask, RunLengths) else np.zeros(0, np.int32)
        polygons = [] if isinstance(mask, RunLengths) else mask
        self.runs.frombytes(runs.tobytes())
        self.run_counts.append(len(runs))
        for polygon in polygons:
            self.corners.frombytes(polygon.astype(np.float32).tobytes())
            self.corner_counts.append(polygon.size)
        self.polygon_counts.append(len(polygons))

    def _rotated(self, image: int, box: Sequence[float], mask: Mask, orientation: int) -> tuple[Sequence[float], Mask]:
        size = self.file_size(image)
        corners = orient_points(np.array(box, float).reshape(2, 2), size, orientation)
        return [*corners.min(0), *corners.max(0)], orient(mask, size, orientation)

    def _name(self, image: int, label: int | None, place: str) -> str:
        return f"{self.entries[image].name}: {place}{'' if label is None else f' ({self.classes[label]})'}"


def box_set(
    findings: Findings,
    builders: Mapping[str, BoxListingBuilder],
    classes: list[str],
    codes: list[Code],
    *,
    known: Sequence[str] | None = None,
    keep_empty: bool = False,
) -> BoxSet:
    """Makes a set of the splits, with every fault that was found.

    Args:
        classes, codes: of the builders' labels.
        known: classes of a checkpoint, which become the set's, in their order; those of `classes` that it does not have
            must be without objects.
        keep_empty: keep classes without an object in any split, too, where there is no checkpoint.

    Raises:
        DataError: the set has other classes than the checkpoint.
    """
    with_masks = any(builder.masked for builder in builders.values())
    splits = {split: builder.build(with_masks) for split, builder in builders.items()}
    clipped = [name for builder in builders.values() for name in builder.clipped]
    findings.note("boxes that exceed their images, clipped", clipped, "box out of frame", "exceeds its image")
    degenerate = [name for builder in builders.values() for name in builder.degenerate]
    findings.note("degenerate boxes, skipped", degenerate, "degenerate box", "has no area within its image")
    maskless = sum(len(builder.owners) - builder.masked for builder in builders.values())
    if with_masks and maskless:
        findings.notes.append(f"{findings.name}: objects without a mask, which fall back to their boxes: {maskless}")
    for one, other in combinations(splits, 2):
        both = sorted(set(splits[one].keys()) & set(splits[other].keys()))
        findings.note(
            f"images both in {one} and in {other}", both, "image in two splits", f"is in {one} and in {other}"
        )
    first = next((split for split in ("train", *splits) if split in splits), None)
    missing = first is not None and not len(splits[first]) and bool(findings.faults)  # which are about these images
    if first and not missing and not any(splits[first].class_counts(len(classes))):
        findings.faults.append(f"{findings.name}: {first} has no boxes at all")
    # JSON can escape half a character; nothing that the name is later written to could hold it.
    broken = [name for name in classes if name.encode(errors="replace").decode() != name]
    findings.faults += [f"{findings.name}: the class name {name!r} is not valid text" for name in broken]
    names = classes if keep_empty else _with_objects(splits, classes, known or ())
    empty = [name for name in classes if name not in names]
    if known is None:
        findings.note(
            "classes without an object in any split, excluded (data.keep_empty_classes: true keeps them)", empty
        )
    order, kept = in_order_of(findings.name, names, [codes[classes.index(name)] for name in names], known)
    places = np.array([order.index(name) if name in order else -1 for name in classes], np.int32)
    splits = {split: listing.relabelled(places) for split, listing in splits.items()}
    faults, remarks = findings.faults_by_image(), findings.remarks_by_image()
    return BoxSet(findings.name, order, splits, findings.notes, faults, remarks, codes=kept)


def _with_objects(splits: Mapping[str, BoxListing], classes: list[str], known: Sequence[str]) -> list[str]:
    """Returns the classes that have objects or are known; all of a set without any object, which is a fault."""
    used = {classes[label] for listing in splits.values() for label in np.unique(listing.packed.labels).tolist()}
    return [name for name in classes if name in used or name in known or not used]


def in_order_of(
    root: str, classes: list[str], codes: list[Code], known: Sequence[str] | None
) -> tuple[list[str], list[Code]]:
    """Returns the set's classes and their codes in the order of a checkpoint's classes, `known`; None: unchanged.

    A class that the set lacks gets a code that none of the set's has.

    Raises:
        DataError: the set has a class that the checkpoint lacks.
    """
    if known is None:
        return classes, codes
    check_known(root, set(classes), known)
    unused = count(1 + max((code for code in codes if isinstance(code, int)), default=0))
    return list(known), [codes[classes.index(name)] if name in classes else next(unused) for name in known]


def _formatted(box: Iterable[float]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in box) + "]"
