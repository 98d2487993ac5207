"""Crops: at random places for training, at fixed ones for evaluation."""

from __future__ import annotations

import cv2
import numpy as np

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.deferred import Deferred
from resnet_tl.data.images.resize import Interpolation, resize_short, short_size

Seed = tuple[int, ...]
"""(seed, epoch, hash64(key), repeat), which decides an image's augmentation."""


class Views:
    """Crops of `size` x `size` at each short side of `shorts`: the centre, or with `crops=10` the corners, the centre
    and their mirror images."""

    def __init__(
        self, size: int, shorts: tuple[int, ...] = (), interpolation: Interpolation = "bilinear", crops: int = 1
    ) -> None:
        self.size, self.shorts, self.interpolation, self.crops = size, shorts or (size,), interpolation, crops

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        crop = self._centre if self.crops == 1 else self._ten
        views = [view for short in self.shorts for view in crop(resize_short(image, short, self.interpolation))]
        return views[0][None] if len(views) == 1 else np.stack(views)

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        return reduction(min(original), max(self.shorts))

    def centre(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Returns x1, y1, x2, y2 of the centre crop, at the first short side, in pixels of an image of this size."""
        resized = short_size(height, width, self.shorts[0])
        top, left = self._middle(*resized)
        down, right = height / resized[0], width / resized[1]
        return left * right, top * down, (left + self.size) * right, (top + self.size) * down

    def _centre(self, image: ImageArray) -> list[ImageArray]:
        return [self._at(image, *self._middle(image.shape[0], image.shape[1]))]

    def _middle(self, height: int, width: int) -> tuple[int, int]:
        return round((height - self.size) / 2), round((width - self.size) / 2)

    def _ten(self, image: ImageArray) -> list[ImageArray]:
        bottom, right = image.shape[0] - self.size, image.shape[1] - self.size
        views = []
        for side in (image, mirror(image)):
            views += [self._at(side, top, left) for top in (0, bottom) for left in (0, right)] + self._centre(side)
        return views

    def _at(self, image: ImageArray, top: int, left: int) -> ImageArray:
        return image[top : top + self.size, left : left + self.size]


def random_area(
    height: int, width: int, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Returns (top, left, height, width) of a random crop: `scale` of the area, aspect ratio 3:4 to 4:3 (Szegedy et al.
    2014).

    As torchvision's RandomResizedCrop: ten attempts, then the largest centre crop of an allowed aspect ratio.
    """
    smallest, largest = scale
    for _ in range(10):
        share, aspect, down, right = rng.random(4).tolist()
        area = height * width * (smallest + (largest - smallest) * share)
        ratio = (4 / 3) ** (2 * aspect - 1)
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
    w, h = min(width, max(1, round(height * 4 / 3))), min(height, max(1, round(width * 4 / 3)))
    return (height - h) // 2, (width - w) // 2, h, w


def mirror(image: ImageArray) -> ImageArray:
    """Returns a copy with left and right swapped (numpy copies a reversed view thirty times more slowly)."""
    if isinstance(image, Deferred):
        return image.mirrored()
    return cv2.flip(image, 1).reshape(image.shape)


def reflect(image: ImageArray, pad: int) -> ImageArray:
    """Pads all four sides by `pad` pixels, reflected without repeating the edge."""
    if isinstance(image, Deferred):
        return image.reflected(pad)
    padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    return padded.reshape(*padded.shape[:2], -1)


def reduction(size: int, needed: int) -> int:
    """Returns the largest of 1, 2, 4, 8 by which `size` pixels can be divided without going below `needed`."""
    return next(factor for factor in (8, 4, 2, 1) if factor == 1 or size // factor >= needed)
