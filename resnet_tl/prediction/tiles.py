"""Sliced inference: which tiles of an image a detector sees, and which objects of the tiles are those of the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_tl.errors import RecipeError
from resnet_tl.metrics.box_matches import iou

SMALLEST = 32
"""Of tiles in pixels: the deepest stride of the networks."""

SAME = 0.5
"""Two boxes of a class with a higher IoU are of one object."""

COVERED = 0.5
"""A box that its tile cuts is part of an object of its class that covers more than this share of it."""

MARGIN = 1 / 64
"""A box that comes closer to the edge of its tile than this share of the tile's side is cut by it: boxes are predicted,
so they end near the edge and not at it."""


class Tiling(NamedTuple):
    """Square tiles: their side, and the least overlap of neighbours, in pixels of the image."""

    side: int
    overlap: int


class Window(NamedTuple):
    """A tile of an image, in its pixels."""

    top: int
    left: int
    bottom: int
    right: int


def read_tiling(tiles: int | None, overlap: int | None) -> Tiling | None:
    """Returns the tiling that a caller asks for. overlap: None: a fifth of the side.

    Raises:
        RecipeError: a value out of range, or an overlap of no tiles.
    """
    if tiles is None:
        if overlap is not None:
            raise RecipeError("overlap: applies to tiles; add tiles, the side of a tile in pixels, or remove it")
        return None
    if not isinstance(tiles, int) or tiles < SMALLEST:
        raise RecipeError(f"tiles: {tiles!r}; expected the side of a tile in pixels, {SMALLEST} or more")
    chosen = tiles // 5 if overlap is None else overlap
    if not isinstance(chosen, int) or not 0 <= chosen < tiles:
        raise RecipeError(f"overlap: {overlap!r}; expected 0 to {tiles - 1} pixels, less than the side of a tile")
    return Tiling(tiles, chosen)


def windows(height: int, width: int, tiling: Tiling) -> list[Window]:
    """Returns the fewest tiles that cover an image, row by row, evenly spaced. All have one size, so that objects keep
    theirs; a side of the image that is shorter than a tile is one tile long."""
    rows, columns = (_starts(side, tiling) for side in (height, width))
    return [
        Window(top, left, min(top + tiling.side, height), min(left + tiling.side, width))
        for top in rows
        for left in columns
    ]


def _starts(side: int, tiling: Tiling) -> list[int]:
    last = max(side - tiling.side, 0)
    steps = -(-last // (tiling.side - tiling.overlap))
    return [last * number // steps for number in range(steps)] + [last]


def are_cut(boxes: NDArray[np.float32], window: Window, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns whether boxes `[M, 4]` of a tile end at one of its edges that is not the image's.

    All are in pixels of the image, whose `size` is (h, w).
    """
    top, left, bottom, right = window
    down, across = (bottom - top) * MARGIN, (right - left) * MARGIN
    low = np.array([left + across if left else -np.inf, top + down if top else -np.inf])
    high = np.array([right - across if right < size[1] else np.inf, bottom - down if bottom < size[0] else np.inf])
    beyond: NDArray[np.bool_] = np.concatenate([boxes[:, :2] < low, boxes[:, 2:] > high], axis=1)
    return np.logical_or.reduce(beyond, axis=1)


def merge(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    tiles: NDArray[np.int64],
    cut: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Returns the positions of the image's objects among those of its tiles, highest score first.

    Of boxes of a class from several tiles that are of one object, the best stays; one that its tile cuts comes after
    all others, since the neighbour sees more of the object. Boxes of one tile do not affect each other: its objects are
    found already.

    Args:
        boxes: `[M, 4]` in pixels of the image. scores, labels: `[M]`.
        tiles: `[M]`, the number of the tile that each is from. cut: `[M]`, see `are_cut`.
    """
    exact, kept = boxes.astype(np.float64), np.zeros(0, np.int64)
    for index in np.lexsort((-scores, cut)):
        others = kept[(labels[kept] == labels[index]) & (tiles[kept] != tiles[index])]
        known = iou(exact[None, index], exact[others]) > SAME
        if cut[index]:  # COCO's overlap with a crowd is the share of the box that lies inside
            known |= iou(exact[None, index], exact[others], np.ones(len(others), np.bool_)) > COVERED
        if not known.any():
            kept = np.append(kept, index)
    return kept[np.argsort(-scores[kept], kind="stable")]
