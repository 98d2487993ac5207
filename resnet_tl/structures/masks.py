"""Instance masks: polygons or run lengths, as annotations store them, and pixels where a loss needs them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Polygon: TypeAlias = npt.NDArray[np.float32]
"""Corners `[P, 2]` (x, y) in pixels; the last one connects to the first."""


class RunLengths(NamedTuple):
    """COCO's uncompressed run lengths of an image of `size` (h, w): `counts` of pixels outside, inside, outside ...,
    down the columns from left to right."""

    counts: npt.NDArray[np.int64]
    size: tuple[int, int]


Mask: TypeAlias = "list[Polygon] | RunLengths"
"""An instance covers the union of its polygons."""


def to_pixels(mask: Mask, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Renders a mask to `[height, width]` bool, True inside.

    A pixel is inside a polygon if its centre is (even-odd rule). Run lengths of a smaller image fill the upper left
    corner, where padding leaves the image.
    """
    if isinstance(mask, RunLengths):
        return _expand_runs(mask, height, width)
    inside = np.zeros((height, width), bool)
    for polygon in mask:
        _fill(inside, polygon)
    return inside


def to_run_lengths(
    pixels: npt.NDArray[np.bool_], corner: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
) -> RunLengths:
    """Computes the run lengths of pixels `[h, w]` that lie at `corner` (row, column) of an image of `size` (h, w). They
    must fit into the image; None: they are the image."""
    height, width = size or pixels.shape
    columns = np.pad(pixels, ((1, 1), (0, 0))).T  # every column begins and ends outside
    changes = (columns[:, 1:] != columns[:, :-1]).nonzero()
    at = (corner[1] + changes[0]) * height + corner[0] + changes[1]
    # A run that continues from the foot of one column to the head of the next ends and begins at the same place.
    twice = np.flatnonzero(at[1:] == at[:-1])
    at = np.delete(at, np.concatenate([twice, twice + 1]))
    if not len(at) or at[-1] < height * width:
        at = np.append(at, height * width)
    return RunLengths(np.diff(at, prepend=0), (height, width))


def decompress(text: str, size: tuple[int, int]) -> RunLengths:
    """Decodes COCO's compressed run lengths of an image of `size` (h, w) (cocoapi, `rleFrString`).

    The text holds each number in groups of 5 bits, lowest first, with a 6th bit set if more groups follow; from the
    fourth number on, the difference from the last but one.

    Raises:
        ValueError: the text is not of this form.
    """
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = (codes & 0x20) == 0
    if not ((codes >= 0) & (codes < 64)).all() or not ends[-1:].all():
        raise ValueError("not COCO's compressed run lengths")
    first = np.flatnonzero(np.concatenate([[True], ends]))[:-1]
    place = np.arange(len(codes)) - np.repeat(first, np.diff(first, append=len(codes)))
    numbers = np.add.reduceat((codes & 0x1F) << 5 * place, first) if len(first) else codes
    negative = (codes[ends] & 0x10) > 0  # the highest bit of the last group is the sign, in two's complement
    numbers -= np.where(negative, 1 << 5 * (place[ends] + 1), 0)
    numbers[1::2], numbers[2::2] = numbers[1::2].cumsum(), numbers[2::2].cumsum()
    return RunLengths(numbers, size)


def resize(mask: Mask, size: tuple[int, int], to_size: tuple[int, int]) -> Mask:
    """Resizes a mask with its image, from `size` (h, w) to `to_size`."""
    if isinstance(mask, RunLengths):
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(np.int64) for old, new in zip(size, to_size, strict=True)
        )
        return to_run_lengths(to_pixels(mask, *size)[rows[:, None], columns])
    factors = np.array([to_size[1] / size[1], to_size[0] / size[0]], np.float32)
    return [polygon * factors for polygon in mask]


def orient(mask: Mask, size: tuple[int, int], orientation: int) -> Mask:
    """Turns a mask upright with its image of `size` (h, w), by the EXIF orientation (1...8; 2 mirrors)."""
    if isinstance(mask, RunLengths):
        return to_run_lengths(orient_pixels(to_pixels(mask, *size), orientation))
    return [orient_points(polygon, size, orientation) for polygon in mask]


def orient_points(points: npt.NDArray[Any], size: tuple[int, int], orientation: int) -> npt.NDArray[Any]:
    """Turns points `[..., 2]` (x, y) upright with their image of `size` (h, w) (EXIF 2.32, tag 274)."""
    x, y = points[..., 0], points[..., 1]
    height, width = size
    x = width - x if orientation in (2, 3, 7, 8) else x
    y = height - y if orientation in (3, 4, 6, 7) else y
    return np.stack([y, x] if orientation >= 5 else [x, y], -1)


def orient_pixels(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turns an image `[H, W, ...]` upright."""
    pixels = pixels[:, ::-1] if orientation in (2, 3, 7, 8) else pixels
    pixels = pixels[::-1] if orientation in (3, 4, 6, 7) else pixels
    return pixels.swapaxes(0, 1) if orientation >= 5 else pixels


def crop(mask: Mask, size: tuple[int, int], window: tuple[int, int, int, int]) -> Mask:
    """Crops a mask of an image of `size` (h, w) to a window (top, left, height, width), whose corner becomes 0, 0."""
    top, left, height, width = window
    if isinstance(mask, RunLengths):
        return to_run_lengths(to_pixels(mask, *size)[top : top + height, left : left + width])
    corner = np.array([left, top], np.float32)
    clipped = [_clip(polygon - corner, height, width) for polygon in mask]
    return [polygon for polygon in clipped if len(polygon) > 2]


def area(mask: Mask) -> float:
    """Returns the area in square pixels; where polygons overlap, the overlap counts twice."""
    if isinstance(mask, RunLengths):
        return float(mask.counts[1::2].sum())
    return float(sum(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) for x, y in _columns(mask)) / 2)


def bounds(mask: Mask) -> npt.NDArray[np.float32]:
    """Returns the bounding box `[4]` (x1, y1, x2, y2) of a mask, which must not be empty."""
    if isinstance(mask, RunLengths):
        pixels = to_pixels(mask, *mask.size)
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    corners = np.concatenate(mask)
    return np.concatenate([corners.min(0), corners.max(0)])


def place(mask: Mask, size: tuple[int, int], at: tuple[int, int], canvas: tuple[int, int]) -> Mask:
    """Moves a mask with its image of `size` (h, w), which is placed on a canvas (h, w) at `at` (top, left)."""
    if isinstance(mask, RunLengths):
        pixels = np.zeros(canvas, bool)
        pixels[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = to_pixels(mask, *size)
        return to_run_lengths(pixels)
    return [polygon + np.array([at[1], at[0]], np.float32) for polygon in mask]


def _columns(mask: list[Polygon]) -> list[npt.NDArray[np.float64]]:
    return [polygon.astype(np.float64).T for polygon in mask]


def _clip(polygon: Polygon, height: int, width: int) -> Polygon:
    """Clips a polygon to 0...width, 0...height (Sutherland and Hodgman, 1974)."""
    # The window's sides one after another: drop the corners beyond a side, add the points where edges cross it.
    for axis, limit, sign in ((0, 0, -1), (0, width, 1), (1, 0, -1), (1, height, 1)):
        inside = sign * (polygon[:, axis] - limit) <= 0
        if inside.all():
            continue
        after = np.roll(polygon, -1, axis=0)
        crosses = inside != np.roll(inside, -1)
        step = np.where(crosses, after[:, axis] - polygon[:, axis], 1)
        crossing = polygon + ((limit - polygon[:, axis]) / step)[:, None] * (after - polygon)
        crossing[:, axis] = limit
        polygon = np.stack([polygon, crossing], 1)[np.stack([inside, crosses], 1)]
    return polygon


def _expand_runs(mask: RunLengths, height: int, width: int) -> npt.NDArray[np.bool_]:
    rows, columns = mask.size
    values = np.arange(len(mask.counts)) % 2 == 1
    pixels = np.repeat(values, mask.counts).reshape(columns, rows).T
    whole = np.zeros((height, width), bool)
    whole[:rows, :columns] = pixels[:height, :width]
    return whole


def _fill(inside: npt.NDArray[np.bool_], polygon: Polygon) -> None:
    """Fills a polygon `[P, 2]` in place. Works within the polygon's bounding box only."""
    x, y = polygon.astype(np.float64).T
    top, left = (max(0, math.ceil(side.min() - 0.5)) for side in (y, x))
    bottom, right = (min(limit, math.ceil(side.max() - 0.5)) for side, limit in zip((y, x), inside.shape, strict=True))
    if top >= bottom or left >= right:
        return
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    # Even-odd rule: each edge flips all pixels to the right of where it crosses a row's middle; a pixel flipped an odd
    # number of times is inside.
    middle = np.arange(top, bottom)[:, None] + 0.5
    row, edge = np.nonzero((y <= middle) != (next_y <= middle))
    at = x[edge] + (row + top + 0.5 - y[edge]) / (next_y - y)[edge] * (next_x - x)[edge]
    column = np.ceil(at - 0.5).clip(left, right).astype(np.int64) - left
    width = right - left + 1
    flips = np.bincount(row * width + column, minlength=(bottom - top) * width).reshape(-1, width)
    inside[top:bottom, left:right] |= flips.cumsum(1, dtype=np.uint8)[:, :-1] % 2 == 1
