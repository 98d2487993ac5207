"""What sets of images with objects share: images measured, objects checked and packed."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np

from resnet_tl.data.images.headers import Header, read_header
from resnet_tl.data.listings.boxes import BoxListing, BoxSet, PackedMasks, PackedObjects
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.sources.faults import raise_if_any
from resnet_tl.data.sources.folder import check_known
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask, RunLengths, orient, orient_points

SLACK = 1.0
"""Pixels by which a box may reach out of its image without a word: makers round, and count pixels from 0 or 1."""
HUGE = 1e9
"""Neither pixels nor an area."""
NAMED = 20


class Entry(NamedTuple):
    """An image that exists. key: its path below the root. size: (h, w) as annotated, None where nobody says.
    name: what sentences about it begin with."""

    key: str
    size: tuple[int, int] | None
    name: str


@dataclass
class Findings:
    """What is found out about a set: `faults` end it, `notes` are told.

    root: the folder of its images. name: what it is called, where not `root`.
    """

    root: str
    name: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or self.root

    def note(self, what: str, names: Sequence[str]) -> None:
        """`name: <what> (2): name, name`, if there are any names."""
        if names:
            more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
            self.notes.append(f"{self.name}: {what} ({len(names)}): {', '.join(names[:NAMED])}{more}")


class BoxListingBuilder:
    """The images of a split, and their objects as they are read.

    Every file's header is read. Where the annotated size is that of the file before its EXIF rotation, so are boxes and
    masks, and they are turned with the image. Where both sizes are one (mirrored, upside down, square) images are
    like the others of the split, and otherwise annotated upright, as today's programs show them.

    Args:
        classes: K names.
        channels: of the images.
    """

    def __init__(self, entries: Sequence[Entry], classes: Sequence[str], channels: int, findings: Findings) -> None:
        self.entries, self.classes, self.findings = entries, classes, findings
        self.sizes, self.turns = self._measure(channels)
        self.owners, self.labels, self.crowds = array("i"), array("i"), array("b")
        self.boxes, self.areas = array("d"), array("d")
        self.places: list[str] = []
        self.corners, self.polygons, self.parts = array("f"), array("q"), array("q")
        self.runs, self.run_lengths = array("i"), array("q")
        self.masked = 0
        """Objects with a mask of their own; the others' boxes stand in."""
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
        """An object of an image. A box that is none goes into the faults.

        Args:
            label: None: of no known class, which was said already; the rest is checked all the same.
            box: x1, y1, x2, y2 in the annotation's pixels.
            place: where it stands, `annotation 17`.
            area: NaN: that of the box.
        """
        if not all(map(math.isfinite, box)):
            name = self._name(image, label, place)
            self.findings.faults.append(f"{name} has the box {_written(box)}; expected four finite numbers")
            return
        if label is None:
            return
        if mask is None:
            x1, y1, x2, y2 = (max(-HUGE, min(HUGE, side)) for side in box)
            mask = [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)]
        else:
            self.masked += 1
        if (orientation := self.turns[image]) > 1:
            box, mask = self._turned(image, box, mask, orientation)
        self.owners.append(image)
        self.labels.append(label)
        self.crowds.append(crowd)
        self.boxes.extend(box)
        self.areas.append(area)
        self.places.append(place)
        self._add_mask(mask)

    def file_size(self, image: int) -> tuple[int, int]:
        """(h, w) of the image as it was annotated."""
        height, width = self.sizes[image].tolist()
        return (width, height) if self.turns[image] >= 5 else (height, width)

    def listing(self, with_masks: bool) -> BoxListing:
        """Boxes are clipped to their images, degenerate ones left out, both counted and named."""
        owners, boxes = np.array(self.owners, np.int64), np.array(self.boxes).reshape(-1, 4)
        limits = self.sizes[owners][:, [1, 0, 1, 0]]
        clipped = boxes.clip(0, limits).astype(np.float32)
        empty = (clipped[:, 2:] <= clipped[:, :2]).any(1)
        beyond = ~empty & ((boxes < -SLACK) | (boxes > limits + SLACK)).any(1)

        def named(i: int) -> str:
            return self._name(self.owners[i], self.labels[i], self.places[i])

        self.clipped += [named(i) for i in np.flatnonzero(beyond).tolist()]
        self.degenerate += [f"{named(i)} at {_written(boxes[i])}" for i in np.flatnonzero(empty).tolist()]
        kept = np.flatnonzero(~empty)
        kept = kept[np.argsort(owners[kept], kind="stable")]
        return self._packed(kept, owners, clipped, with_masks)

    def _packed(self, kept: np.ndarray, owners: np.ndarray, boxes: np.ndarray, with_masks: bool) -> BoxListing:
        areas, boxes = np.array(self.areas, np.float32)[kept], boxes[kept]
        whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        packed = PackedObjects(
            _offsets(np.bincount(owners[kept], minlength=len(self.entries))),
            boxes,
            np.array(self.labels, np.int32)[kept],
            np.array(self.crowds, bool)[kept],
            np.where(np.isfinite(areas), areas, whole),
            self._packed_masks().select(kept) if with_masks else None,
        )
        keys = Rows.of_text([entry.key for entry in self.entries])
        return BoxListing(self.findings.root, keys, self.sizes, packed)

    def _packed_masks(self) -> PackedMasks:
        polygons = Rows(np.array(self.corners, np.float32), _offsets(np.array(self.polygons, np.int64)))
        runs = Rows(np.array(self.runs, np.int32), _offsets(np.array(self.run_lengths, np.int64)))
        return PackedMasks(polygons, _offsets(np.array(self.parts, np.int64)), runs)

    def _add_mask(self, mask: Mask) -> None:
        runs = mask.counts.astype(np.int32) if isinstance(mask, RunLengths) else np.zeros(0, np.int32)
        polygons = [] if isinstance(mask, RunLengths) else mask
        self.runs.frombytes(runs.tobytes())
        self.run_lengths.append(len(runs))
        for polygon in polygons:
            self.corners.frombytes(polygon.astype(np.float32).tobytes())
            self.polygons.append(polygon.size)
        self.parts.append(len(polygons))

    def _turned(self, image: int, box: Sequence[float], mask: Mask, orientation: int) -> tuple[Sequence[float], Mask]:
        size = self.file_size(image)
        corners = orient_points(np.array(box, float).reshape(2, 2), size, orientation)
        return [*corners.min(0), *corners.max(0)], orient(mask, size, orientation)

    def _name(self, image: int, label: int | None, place: str) -> str:
        return f"{self.entries[image].name}: {place}{'' if label is None else f' ({self.classes[label]})'}"

    def _measure(self, channels: int) -> tuple[np.ndarray, list[int]]:
        """`[N, 2]` int32 (h, w) of the upright images; the EXIF orientation by which each one's annotations turn."""
        with ThreadPoolExecutor() as pool:
            headers = list(pool.map(_header_of(self.findings.root, channels), self.entries))
        pairs = list(zip(self.entries, headers, strict=True))
        frames = [_frame(*pair) for pair in pairs]
        turning = {"file", "both"} if "file" in frames else {"file"}
        turns = [
            header.orientation if header and frame in turning else 1
            for header, frame in zip(headers, frames, strict=True)
        ]
        for (entry, header), frame in zip(pairs, frames, strict=True):
            if frame == "neither" and header and entry.size:
                self.findings.faults.append(
                    f"{entry.name}: is {header.width} x {header.height} pixels, but annotated as "
                    f"{entry.size[1]} x {entry.size[0]}"
                )
        turned_ones = [entry.key for entry, turn in zip(self.entries, turns, strict=True) if turn > 1]
        self.findings.note("images turned by their EXIF data, their annotations with them", turned_ones)
        # An image that cannot be read has its annotated size until it is drawn.
        sizes = [header[:2] if header else entry.size or (1, 1) for entry, header in pairs]
        return np.array(sizes, np.int32).reshape(-1, 2), turns


def box_set(findings: Findings, builders: dict[str, BoxListingBuilder], classes: list[str], codes: list[int]) -> BoxSet:
    """The set, once everything in it is known to be in order.

    Raises:
        DataError: one, with everything that is wrong with the set.
    """
    parts = builders.values()
    with_masks = any(part.masked for part in parts)
    splits: dict[str, Listing] = {split: part.listing(with_masks) for split, part in builders.items()}
    findings.note("boxes that reach out of their images, clipped", [name for part in parts for name in part.clipped])
    findings.note("degenerate boxes, left out", [name for part in parts for name in part.degenerate])
    if with_masks and (bare := sum(len(part.owners) - part.masked for part in parts)):
        findings.notes.append(f"{findings.name}: objects without a mask, whose boxes stand in: {bare}")
    for one, other in combinations(splits, 2):
        both = sorted(set(splits[one].keys()) & set(splits[other].keys()))
        findings.note(f"images both in {one} and in {other}", both)
    first = next((split for split in ("train", *splits) if split in splits), None)
    if first and not any(splits[first].class_counts(len(classes))):
        findings.faults.append(f"{findings.name}: {first} has no boxes at all")
    raise_if_any(findings.name, findings.faults)
    return BoxSet(findings.name, classes, splits, notes=findings.notes, codes=codes)


def in_order_of(
    root: str, classes: list[str], codes: list[int], known: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """The set's classes and their codes in the order of a checkpoint's classes, `known`, which must be the same ones.

    Raises:
        DataError: they are not.
    """
    if known is None:
        return classes, codes
    check_known(root, set(classes), known)
    return list(known), [codes[classes.index(name)] for name in known]


def _header_of(root: str, channels: int) -> Callable[[Entry], Header | None]:
    def look(entry: Entry) -> Header | None:
        try:
            return read_header(os.path.join(root, entry.key), channels)
        except DataError:
            return None

    return look


def _frame(entry: Entry, header: Header | None) -> str:
    """Which size was annotated: that of the `file` before its rotation, the `upright` image's, `both`, `neither`."""
    if header is None or entry.size is None:
        return "upright"
    upright = (header.height, header.width)
    in_file = upright[::-1] if header.orientation >= 5 else upright
    names = {(True, True): "both", (True, False): "upright", (False, True): "file", (False, False): "neither"}
    return names[entry.size == upright, entry.size == in_file]


def _written(box: Iterable[float]) -> str:
    return "[" + ", ".join(f"{value:.6g}" for value in box) + "]"


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
