"""Masks in COCO's format: polygons and run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_tl.data.sources.annotations import FAR, HUGE
from resnet_tl.structures.masks import Polygon, RunLengths, decompress


def polygons(segmentation: Any, fractions_of: tuple[int, int] | None = None) -> list[Polygon] | None:
    """Returns the polygons with three corners or more; None where there are none.

    fractions_of: (h, w) of the image, where the set's boxes are in fractions; polygons in pixels stay as they are.

    Raises:
        ValueError: it is not a list of numbers.
    """
    lists = segmentation if isinstance(segmentation[0], list) else [segmentation]
    try:
        points = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in lists]
    except (TypeError, ValueError, OverflowError):
        raise ValueError("has a polygon that is not a list of x, y, x, y ...") from None
    if not all((np.abs(polygon) < HUGE).all() for polygon in points):
        raise ValueError("has a polygon with a corner that is not a finite number")
    if fractions_of and all((np.abs(polygon) <= FAR).all() for polygon in points):
        points = [polygon * fractions_of[::-1] for polygon in points]
    return [polygon.astype(np.float32) for polygon in points if len(polygon) > 2] or None


def run_lengths(segmentation: dict[str, Any], size: tuple[int, int]) -> RunLengths:
    """Returns the run lengths of an image of `size` (h, w), plain or as COCO's compressed text.

    Raises:
        ValueError: they are not.
    """
    counts, annotated = segmentation.get("counts"), segmentation.get("size")
    if annotated != list(size):
        raise ValueError(f"has a mask of {annotated} (h, w), but its image is {list(size)}")
    try:
        mask = decompress(counts, size) if isinstance(counts, str) else RunLengths(np.array(counts, np.int64), size)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("has a mask that is neither run lengths nor COCO's compressed text") from None
    pixels, counts = size[0] * size[1], mask.counts
    # Each one is compared too: the sum of huge ones may wrap around.
    if counts.ndim != 1 or ((counts < 0) | (counts > pixels)).any() or counts.sum() != pixels:
        raise ValueError(f"has a mask whose run lengths are not those of {size[0]} x {size[1]} (h, w) pixels")
    return mask
