"""Instance masks as annotations hold them, polygons or run lengths, and as pixels where a loss needs these."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Polygon: TypeAlias = npt.NDArray[np.float32]
"""Corners `[P, 2]` (x, y) in pixels; the last is joined to the first."""


class RunLengths(NamedTuple):
    """COCO's uncompressed run lengths: `counts` of pixels outside, inside, outside ... down the columns, left to right,
    of a picture of `size` (h, w)."""

    counts: npt.NDArray[np.int64]
    size: tuple[int, int]


Mask: TypeAlias = "list[Polygon] | RunLengths"
"""An instance is inside any of its polygons."""


def to_pixels(mask: Mask, height: int, width: int) -> npt.NDArray[np.bool_]:
    """`[height, width]`, True inside. Of polygons a pixel is inside if its centre is (even-odd rule); run lengths of a
    smaller picture lie in the upper left corner, as padding leaves them."""
    if isinstance(mask, RunLengths):
        return _unrolled(mask, height, width)
    inside = np.zeros((height, width), bool)
    for polygon in mask:
        inside |= _filled(polygon, height, width)
    return inside


def to_run_lengths(pixels: npt.NDArray[np.bool_]) -> RunLengths:
    """The run lengths of a picture `[H, W]`."""
    flat = np.concatenate([[False], pixels.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes, [pixels.size]]))
    return RunLengths(counts, (pixels.shape[0], pixels.shape[1]))


def _unrolled(mask: RunLengths, height: int, width: int) -> npt.NDArray[np.bool_]:
    rows, columns = mask.size
    values = np.arange(len(mask.counts)) % 2 == 1
    pixels = np.repeat(values, mask.counts).reshape(columns, rows).T
    whole = np.zeros((height, width), bool)
    whole[:rows, :columns] = pixels[:height, :width]
    return whole


def _filled(polygon: Polygon, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Every edge flips all pixels right of where it crosses a row's middle."""
    x, y = polygon.astype(np.float64).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    middle = np.arange(height)[:, None] + 0.5
    row, edge = np.nonzero((y <= middle) != (next_y <= middle))
    at = x[edge] + (row + 0.5 - y[edge]) / (next_y - y)[edge] * (next_x - x)[edge]
    column = np.ceil(at - 0.5).clip(0, width).astype(np.int64)
    flips = np.zeros((height, width + 1), np.int64)
    np.add.at(flips, (row, column), 1)
    return flips.cumsum(1)[:, :width] % 2 == 1
