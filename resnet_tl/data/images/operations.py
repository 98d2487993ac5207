"""The operations of TrivialAugment and RandAugment on images `[H, W, C]` of 8 or 16 bits, and how they are drawn.

Each does what Pillow and torchvision do under its name, for any number of channels; what a geometric one uncovers is
black. OpenCV's bilinear interpolation and roundings differ from torchvision's by a few of 255 at edges. (albumentations
has most of them as transforms that draw a magnitude of their own; some of these take 8 bits only.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, radians, sin
from typing import TypeAlias

import cv2
import numpy as np

from resnet_tl.data.images.decode import ImageArray

Operation: TypeAlias = Callable[[ImageArray, float], ImageArray]
"""(image, magnitude) -> another image of its shape and dtype."""

LEVELS = 31
"""Magnitudes of an operation, from none to its most (both papers: 0...30)."""


class RandomOperations:
    """Applies `count` operations, each drawn uniformly, one after the other; those with a direction in either.

    Args:
        space: the operations, and the most of each.
        count: of operations for an image.
        level: of the magnitude, 0...30; None: drawn uniformly for each operation.
        in_place: only operations that keep every pixel in its place, for images with boxes or masks.
    """

    def __init__(
        self, space: Mapping[Operation, float], count: int, level: int | None, *, in_place: bool = False
    ) -> None:
        self.operations = [(each, most) for each, most in space.items() if not (in_place and each in MOVING)]
        self.count, self.level = count, level

    def __call__(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        for _ in range(self.count):
            operation, most = self.operations[rng.integers(len(self.operations))]
            level = rng.integers(LEVELS) if self.level is None else self.level
            sign = -1 if operation in SIGNED and rng.random() < 0.5 else 1
            image = operation(image, sign * most * int(level) / (LEVELS - 1))
        return image


def unchanged(image: ImageArray, _: float) -> ImageArray:
    return image


def shear_x(image: ImageArray, slope: float) -> ImageArray:
    """Shifts each row by `slope` times its distance from the upper edge."""
    return _warp(image, [[1, slope, 0], [0, 1, 0]])


def shear_y(image: ImageArray, slope: float) -> ImageArray:
    return _warp(image, [[1, 0, 0], [slope, 1, 0]])


def shift_x(image: ImageArray, pixels: float) -> ImageArray:
    return _warp(image, [[1, 0, -int(pixels)], [0, 1, 0]])


def shift_y(image: ImageArray, pixels: float) -> ImageArray:
    return _warp(image, [[1, 0, 0], [0, 1, -int(pixels)]])


def shift_x_by_share(image: ImageArray, share: float) -> ImageArray:
    """Shifts by a share of the width."""
    return shift_x(image, share * image.shape[1])


def shift_y_by_share(image: ImageArray, share: float) -> ImageArray:
    return shift_y(image, share * image.shape[0])


def rotate(image: ImageArray, degrees: float) -> ImageArray:
    """Rotates counterclockwise about the centre."""
    c, s = cos(radians(degrees)), sin(radians(degrees))
    y, x = image.shape[0] / 2, image.shape[1] / 2
    return _warp(image, [[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y]])


def brightness(image: ImageArray, more: float) -> ImageArray:
    return _by_table(image, _levels(image) * (1 + more))


def contrast(image: ImageArray, more: float) -> ImageArray:
    """Moves every value away from the mean brightness, or towards it."""
    return _by_table(image, _levels(image) * (1 + more) - more * float(_grey(image).mean()))


def colour(image: ImageArray, more: float) -> ImageArray:
    """Moves RGB away from its grey, or towards it; other images have no colour."""
    if image.shape[2] != 3:
        return image
    return cv2.addWeighted(image, 1 + more, cv2.merge([_grey(image)] * 3), -more, 0)


def sharpness(image: ImageArray, more: float) -> ImageArray:
    """Moves every pixel away from the mean of its neighbourhood (its own weight is 5 of 13), or towards it; the
    outermost pixels stay."""
    kernel = np.ones((3, 3), np.float32)
    kernel[1, 1] = 5
    smooth = _by_channels(image, lambda part: cv2.filter2D(part, -1, kernel / kernel.sum()))
    changed = image.copy()
    changed[1:-1, 1:-1] = cv2.addWeighted(image, 1 + more, smooth, -more, 0).reshape(image.shape)[1:-1, 1:-1]
    return changed


def posterize(image: ImageArray, fewer: float) -> ImageArray:
    """Keeps 8 - `fewer` bits of each value."""
    total = 8 * image.itemsize
    dropped = total - 8 + round(fewer)
    return image >> dropped << dropped


def solarize(image: ImageArray, share: float) -> ImageArray:
    """Inverts the values in the upper `share` (0...1) of their range."""
    levels = _levels(image)
    return _by_table(image, np.where(levels >= levels[-1] * (1 - share), levels[-1] - levels, levels))


def auto_contrast(image: ImageArray, _: float) -> ImageArray:
    """Stretches each channel to the whole range."""
    return _by_channel_tables(image, _stretched)


def equalize(image: ImageArray, _: float) -> ImageArray:
    """Makes the values of each channel about equally frequent; an image with fewer pixels than values stays."""
    return _by_channel_tables(image, _equalized)


SIGNED = {
    *(shear_x, shear_y, shift_x, shift_y, shift_x_by_share, shift_y_by_share, rotate),
    *(brightness, colour, contrast, sharpness),
}
MOVING = {shear_x, shear_y, shift_x, shift_y, shift_x_by_share, shift_y_by_share, rotate}

WIDE: dict[Operation, float] = {
    unchanged: 0,
    shear_x: 0.99,
    shear_y: 0.99,
    shift_x: 32,
    shift_y: 32,
    rotate: 135,
    brightness: 0.99,
    colour: 0.99,
    contrast: 0.99,
    sharpness: 0.99,
    posterize: 6,
    solarize: 1,
    auto_contrast: 0,
    equalize: 0,
}
"""The wide space of TrivialAugment (arXiv:2103.10158, table 6; 32 pixels at any size, as there and in torchvision)."""

RANDAUGMENT: dict[Operation, float] = {
    unchanged: 0,
    shear_x: 0.3,
    shear_y: 0.3,
    shift_x_by_share: 150 / 331,
    shift_y_by_share: 150 / 331,
    rotate: 30,
    brightness: 0.9,
    colour: 0.9,
    contrast: 0.9,
    sharpness: 0.9,
    posterize: 4,
    solarize: 1,
    auto_contrast: 0,
    equalize: 0,
}
"""The space of RandAugment (arXiv:1909.13719, section 3 and AutoAugment's ranges), as torchvision has it."""


def _warp(image: ImageArray, inverse: list[list[float]]) -> ImageArray:
    """Maps by `inverse`: from the new (x, y) to the old, measured from the upper left corner of the image."""
    matrix = np.array(inverse, np.float64)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # OpenCV measures from the centre of the first pixel
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _by_channels(image, lambda part: cv2.warpAffine(part, matrix, size, flags=flags))


def _by_channels(image: ImageArray, change: Callable[[ImageArray], ImageArray]) -> ImageArray:
    """Applies `change`, a function of OpenCV, to up to four channels at a time."""
    parts = [change(np.ascontiguousarray(image[..., i : i + 4])) for i in range(0, image.shape[2], 4)]
    return np.concatenate([part.reshape(*image.shape[:2], -1) for part in parts], 2)


def _grey(image: ImageArray) -> ImageArray:
    """`[H, W]`"""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[2] == 3 else image.mean(2)


def _levels(image: ImageArray) -> np.ndarray:
    """Returns the values that a pixel may have."""
    return np.arange(np.iinfo(image.dtype).max + 1)


def _by_table(image: ImageArray, table: np.ndarray) -> ImageArray:
    """Replaces each value by that of the table, cut off to the range and after the point, as torchvision does."""
    table = table.clip(0, len(table) - 1).astype(image.dtype)
    return cv2.LUT(image, table).reshape(image.shape) if image.dtype == np.uint8 else table[image]


def _by_channel_tables(image: ImageArray, table: Callable[[np.ndarray], np.ndarray]) -> ImageArray:
    """Replaces the values of each channel by a table of its histogram."""
    top = np.iinfo(image.dtype).max
    counts = [np.bincount(image[..., i].ravel(), minlength=top + 1) for i in range(image.shape[2])]
    return np.dstack([_by_table(image[..., i : i + 1], table(each)) for i, each in enumerate(counts)])


def _stretched(counts: np.ndarray) -> np.ndarray:
    levels, present = np.arange(len(counts)), np.flatnonzero(counts)
    low, high = present[0], present[-1]
    return levels if low == high else (levels - low) * (levels[-1] / (high - low))


def _equalized(counts: np.ndarray) -> np.ndarray:
    """Pillow's `ImageOps.equalize`."""
    levels, last = np.arange(len(counts)), counts[np.flatnonzero(counts)[-1]]
    step = (counts.sum() - last) // levels[-1]
    return levels if step == 0 else (step // 2 + counts.cumsum() - counts) // step
