"""Shapes that annotation tools draw, as boxes and masks in pixels of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from resnet_tl.data.images.pillow import ERRORS, open_image
from resnet_tl.data.sources.annotations import HUGE
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask, bounds, to_pixels, to_run_lengths

CORNERS = 72
"""Corners of the polygon that an ellipse becomes: 0.1 % of its area is lost."""


class Shape(NamedTuple):
    """box: x1, y1, x2, y2 on pixel edges. mask: None for an upright rectangle."""

    box: list[float]
    mask: Mask | None = None


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Shape:
    return Shape([x1, y1, x2, y2])


def between(corner: Sequence[float], opposite: Sequence[float], extra: float = 0.0) -> Shape:
    """The rectangle between two corners (x, y) in any order; `extra` pixels more to the right and below.

    Raises:
        ValueError: a corner is not two finite numbers.
    """
    corners = np.array([corner, opposite], np.float64)
    if corners.shape != (2, 2) or not (np.abs(corners) < HUGE).all():
        raise ValueError("has a corner that is not two finite numbers")
    return Shape([*corners.min(0), *(corners.max(0) + extra)])


def rotated_rectangle(
    x1: float, y1: float, x2: float, y2: float, degrees: float, pivot: tuple[float, float] | None = None
) -> Shape:
    """Rotated clockwise on the screen about `pivot`, by default its centre."""
    if not degrees:
        return rectangle(x1, y1, x2, y2)
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)
    return polygon(_rotated(corners, degrees, corners.mean(0) if pivot is None else np.array(pivot, np.float64)))


def polygon(
    points: Sequence[Sequence[float]] | npt.NDArray[np.float64],
    holes: Sequence[Sequence[Sequence[float]]] = (),
    size: tuple[int, int] | None = None,
) -> Shape:
    """From three corners or more.

    Args:
        points: `[P, 2]` x, y.
        holes: polygons that are cut out of it.
        size: (h, w) of the image, needed where there are holes.

    Raises:
        ValueError: fewer than three corners, or one that is not two finite numbers.
    """
    outline = _corners(points)
    if not holes or size is None:
        return Shape([*outline.min(0), *outline.max(0)], [outline.astype(np.float32)])
    inside = to_pixels([outline.astype(np.float32)], *size)
    for hole in holes:
        inside &= ~to_pixels([_corners(hole).astype(np.float32)], *size)
    return _of_pixels(inside, 0, 0, size)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> Shape:
    """Around its centre, as a polygon; rotated clockwise on the screen."""
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    points = np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], 1)
    return polygon(_rotated(points, degrees, np.array([x, y], np.float64)))


def bitmap(pixels: npt.NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> Shape:
    """From pixels `[h, w]` whose upper left corner is at (left, top) of an image of `size` (h, w).

    Raises:
        ValueError: nothing of it lies within the image.
    """
    rows, columns = (slice(max(0, -at), max(0, limit - at)) for at, limit in ((top, size[0]), (left, size[1])))
    return _of_pixels(pixels[rows, columns], max(left, 0), max(top, 0), size)


def png_bitmap(data: bytes, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """A mask stored as PNG, `[h, w]`: where it is opaque and not black.

    Raises:
        ValueError: not a PNG, or larger than its image of `size` (h, w).
    """
    try:
        with open_image(data, "mask", ["PNG"]) as image:
            fits = image.width <= size[1] + 1 and image.height <= size[0] + 1
            opaque = np.asarray(image.convert("RGBA")) if fits else None
    except (*ERRORS, DataError) as error:
        raise ValueError(f"has a mask that is not a readable PNG ({error})") from None
    if opaque is None:
        raise ValueError("has a mask that is larger than its image")
    return (opaque[..., 3] > 0) & (opaque[..., :3].max(2) > 0)


def _of_pixels(pixels: npt.NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> Shape:
    if not pixels.any():
        raise ValueError("has an empty mask")
    mask = to_run_lengths(pixels, (top, left), size)
    return Shape(bounds(mask).tolist(), mask)


def _corners(points: Sequence[Sequence[float]] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    corners = np.array(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not (np.abs(corners) < HUGE).all():
        raise ValueError("has a polygon that is not three corners or more of two finite numbers each")
    return corners


def _rotated(
    points: npt.NDArray[np.float64], degrees: float, pivot: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return (points - pivot) @ np.array([[cosine, sine], [-sine, cosine]]) + pivot
