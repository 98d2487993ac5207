"""The masks of a set read once: which values or colours they hold, before anything is decided about their meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from resnet_tl.data.images.class_masks import Coding, Pixels, is_grey, read_pixels, runs, values_of_colours
from resnet_tl.data.sources.findings import Findings
from resnet_tl.errors import DataError

Pair: TypeAlias = tuple[str, str]
"""The paths of an image and of its mask below the root."""

SCANNED = 5000
"""Masks per split that are read before training, an even sample of a larger split. A fault in another one is reported
when it is loaded, with the file's name."""

DARK, LIGHT = 32, 223
"""Grey values at most, and at least, that compression makes of black and of white."""

PLATEAU = 32
"""Pixels that differ by less from their neighbours are a plateau, not an edge."""

MOST = 4096
"""Values or colours of a mask that are recorded; a mask of classes has at most 255."""


class MaskScan(NamedTuple):
    """What a mask file holds.

    size: (h, w) of the file. kind, lossy: see `Pixels`.
    values `[M]`: the distinct values or colours, in ascending order; the first `MOST` of them.
    counts `[M]`: their pixels. colours `[M]`: their colours 0xrrggbb, where there is a palette.
    between: pixels of a grey mask that are neither dark nor light. plateaus: those of them that belong to no edge.
    """

    size: tuple[int, int]
    kind: Literal["grey", "palette", "colour"]
    lossy: bool
    values: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    colours: npt.NDArray[np.int64]
    between: int = 0
    plateaus: int = 0

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    def stored(self, coding: Coding) -> npt.NDArray[np.int64]:
        """Returns the values `[M]` under a coding that may read colours, as `read_values` does.

        Raises:
            UnknownColour: a colour has no value.
        """
        if self.kind == "palette" and coding.palettes:
            return values_of_colours(self.colours, coding.by_colour).astype(np.int64)
        if self.kind == "colour":
            return values_of_colours(self.values, coding.by_colour).astype(np.int64)
        return self.values


class Scanned(NamedTuple):
    """A pair whose mask was read. path: of the mask, with the root."""

    pair: Pair
    path: str
    scan: MaskScan


Scans: TypeAlias = dict[str, list[Scanned]]
"""By split."""


def scan_masks(root: str, splits: Mapping[str, Sequence[Pair]], findings: Findings) -> Scans:
    """Reads the masks of each split, at most `SCANNED`; a mask that cannot be read becomes a fault."""
    found: Scans = {}
    for split, pairs in splits.items():
        sample = pairs[:: max(1, -(-len(pairs) // SCANNED))]
        if len(sample) < len(pairs):
            findings.notes.append(f"{root}: {len(sample)} of the {len(pairs)} masks of {split} were checked")

        def scan(pair: Pair) -> Scanned | str:
            path = f"{root}/{pair[1]}"
            try:
                return Scanned(pair, path, scan_of(read_pixels(path)))
            except DataError as error:
                return str(error)

        with ThreadPoolExecutor() as pool:
            results = list(pool.map(scan, sample))
        findings.faults += [result for result in results if isinstance(result, str)]
        found[split] = [result for result in results if isinstance(result, Scanned)]
    return found


def scan_of(pixels: Pixels) -> MaskScan:
    of_runs, lengths = runs(pixels.values)
    values, owners = np.unique(of_runs, return_inverse=True)
    counts = np.bincount(owners.ravel(), weights=lengths).astype(np.int64)[:MOST]
    values = values.astype(np.int64)[:MOST]
    colours = np.zeros(0, np.int64) if pixels.palette is None else pixels.palette[values].astype(np.int64)
    height, width = pixels.values.shape
    in_grey = pixels.kind == "colour" and bool(is_grey(values).all())
    grey = (pixels.values & 0xFF).astype(np.uint8) if in_grey else pixels.values
    between, plateaus = _smudges(grey) if grey.dtype == np.uint8 else (0, 0)
    return MaskScan((height, width), pixels.kind, pixels.lossy, values, counts, colours, between, plateaus)


def _smudges(values: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Returns how many pixels are neither dark nor light, and how many of them have neighbours of about their value.

    Compression and resizing smudge the edges between black and white; a third class has an inside.
    """
    between = (values > DARK) & (values < LIGHT)
    if not between.any():
        return 0, 0
    square = np.ones((3, 3), np.uint8)
    reach = cv2.dilate(values, square) - cv2.erode(values, square)
    return int(between.sum()), int((between & (reach < PLATEAU)).sum())
