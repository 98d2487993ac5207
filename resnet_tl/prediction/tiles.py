"""Sliced inference: which tiles of an image a detector sees, and which objects of the tiles are those of the image."""

from __future__ import annotations

from collections.abc import Sequence
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
"""A box that another tile sees better is part of an object of its class that covers more than this share of it."""


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


def seen_better(
    boxes: NDArray[np.float32], window: Window, tiles: Sequence[Window], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Returns whether boxes `[M, 4]` of a tile have their middle deeper inside another of the image's tiles, which is
    then more likely to hold the whole object. An overlap as wide as the objects makes sure of it.

    All are in pixels of the image, whose `size` is (h, w).
    """
    own, best = _depths(boxes, [window], size)[0], _depths(boxes, tiles, size).max(axis=0)
    return np.asarray(best > own)


def _depths(boxes: NDArray[np.float32], tiles: Sequence[Window], size: tuple[int, int]) -> NDArray[np.float32]:
    """`[T, M]`: how far the middles of boxes are from the edges of tiles that are not the image's; negative outside."""
    x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    top, left, bottom, right = np.array(tiles, np.float32).T[..., None]
    distances = [
        np.where(left > 0, x - left, np.inf),
        np.where(right < size[1], right - x, np.inf),
        np.where(top > 0, y - top, np.inf),
        np.where(bottom < size[0], bottom - y, np.inf),
    ]
    return np.minimum.reduce(distances)


def merge(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    tiles: NDArray[np.int64],
    seen_better: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Returns the positions of the image's objects among those of its tiles, highest score first.

    Of boxes of a class from several tiles that are of one object, the best stays. One that another tile sees better
    comes after all others, whatever its score: it may be a part of an object, of which the other tile has the whole.
    Boxes of one tile do not affect each other: its objects are found already.

    Args:
        boxes: `[M, 4]` in pixels of the image. scores, labels: `[M]`.
        tiles: `[M]`, the number of the tile that each is from. seen_better: `[M]`, see there.
    """
    exact, kept = boxes.astype(np.float64), np.zeros(0, np.int64)
    for index in np.lexsort((-scores, seen_better)):
        others = kept[(labels[kept] == labels[index]) & (tiles[kept] != tiles[index])]
        known = iou(exact[None, index], exact[others]) > SAME
        if seen_better[index]:  # COCO's overlap with a crowd is the share of the box that lies inside
            known |= iou(exact[None, index], exact[others], np.ones(len(others), np.bool_)) > COVERED
        if not known.any():
            kept = np.append(kept, index)
    return kept[np.argsort(-scores[kept], kind="stable")]
