"""What happens to an image and its mask together. Masks are cut, mirrored and repeated, never interpolated.

Every draw comes from one generator, seeded for one image in one epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from resnet_tl.data.images.augment import ColourAugment, Strength
from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.crops import Seed, mirrored
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.listed_transforms import apply, compose
from resnet_tl.data.images.resize import Interpolation, resize, resize_fast, resized_size
from resnet_tl.errors import RecipeError
from resnet_tl.structures.records import IGNORE


class Pair(NamedTuple):
    """image `[H, W, C]`, mask `[H, W]`; size: (h, w) of what is not padding, at the upper left."""

    image: ImageArray
    mask: ClassMask
    size: tuple[int, int]


class PairTransform(Protocol):
    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair: ...


class Whole:
    """The whole image, its short side resized to `short` pixels; 0: as it is."""

    def __init__(self, short: int, interpolation: Interpolation = "bilinear") -> None:
        self.short, self.interpolation = short, interpolation

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        height, width = resized_size(mask.shape[0], mask.shape[1], self.short)
        mask = resize(mask[..., None], height, width, "nearest")[..., 0]
        return Pair(resize(image, height, width, self.interpolation), mask, (height, width))


class Centre:
    """The centre `size` (h, w) of the image, its short side resized to `short` pixels before (0: as it is); what it
    does not fill is padding, and ignored."""

    def __init__(self, size: tuple[int, int], short: int, interpolation: Interpolation = "bilinear") -> None:
        self.size, self.whole = size, Whole(short, interpolation)

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        pair = self.whole(image, mask, seed)
        top, left = (max(0, have - want) // 2 for have, want in zip(pair.mask.shape, self.size, strict=True))
        part = (slice(top, top + self.size[0]), slice(left, left + self.size[1]))
        return padded(pair.image[part], pair.mask[part], self.size)


class RandomCrop:
    """A part at a random scale, cut to `size`, mirrored every other time, its colours changed.

    Args:
        size: (h, w) in pixels of what comes out; what the image does not fill is padding, and ignored.
        scale: smallest and largest factor on the image's own size (drawn evenly in its logarithm).
        short: pixels of the short side before that factor; 0: as it is.
        balanced: share of the crops cut around a pixel of a class drawn evenly among those in the mask, so that
            rare and small things are seen as often as large ones.
        strength: of the changes of colour, as in classification.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: tuple[float, float],
        short: int,
        balanced: float,
        strength: Strength,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self.size, self.scale, self.short, self.balanced = size, scale, short, balanced
        self.interpolation, self.colours = interpolation, ColourAugment(strength)

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        rng = np.random.default_rng(seed)
        low, high = np.log(self.scale)
        factor = float(np.exp(rng.uniform(low, high))) * (self.short / min(mask.shape) if self.short else 1.0)
        rows, columns = self._part(mask, factor, rng)
        image, mask = image[rows, columns], mask[rows, columns]
        height, width = (
            max(1, min(crop, round(side * factor))) for side, crop in zip(mask.shape, self.size, strict=True)
        )
        image = resize_fast(np.ascontiguousarray(image), height, width, self.interpolation)
        mask = resize(mask[..., None], height, width, "nearest")[..., 0]
        if rng.random() < 0.5:
            image, mask = mirrored(image), np.ascontiguousarray(mask[:, ::-1])
        return padded(self.colours(image, rng), mask, self.size)

    def _part(self, mask: ClassMask, factor: float, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of the image that fill the crop at this scale, or all there are."""
        wanted = [max(1, min(side, round(crop / factor))) for side, crop in zip(mask.shape, self.size, strict=True)]
        row, column = _anchor(mask, rng) if rng.random() < self.balanced else (None, None)
        rows = _interval(mask.shape[0], wanted[0], row, rng)
        return rows, _interval(mask.shape[1], wanted[1], column, rng)


class Listed:
    """The transforms that a recipe lists, over image and mask; what they fill in is ignored."""

    def __init__(self, steps: Sequence[dict[str, Any]], size: tuple[int, int] | None, key: str) -> None:
        self.compose = compose(steps, key, mask_interpolation=cv2.INTER_NEAREST)
        self.size, self.key = size, key

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        # Shifted by one, so that the 0 which transforms fill in means `IGNORE` (255 + 1) and not the first class.
        changed = apply(self.compose, np.random.default_rng(seed), image=image.copy(), mask=mask + np.uint8(1))
        image, mask = changed["image"], changed["mask"] - np.uint8(1)
        if self.size is not None and (mask.shape[0] > self.size[0] or mask.shape[1] > self.size[1]):
            raise RecipeError(
                f"{self.key} leave {mask.shape[1]} x {mask.shape[0]} pixels; expected at most data.image_size"
            )
        return padded(image, mask, self.size or (mask.shape[0], mask.shape[1]))


def padded(image: ImageArray, mask: ClassMask, size: tuple[int, int]) -> Pair:
    """At the upper left of `size`; the rest is black, and to be ignored."""
    height, width = mask.shape
    if (height, width) == size:
        return Pair(image, mask, size)
    room, labels = np.zeros((*size, image.shape[2]), image.dtype), np.full(size, IGNORE, np.uint8)
    room[:height, :width], labels[:height, :width] = image, mask
    return Pair(room, labels, (height, width))


def _anchor(mask: ClassMask, rng: np.random.Generator) -> tuple[int | None, int | None]:
    """A random pixel of a random class of the mask; (None, None) where all is ignored."""
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:IGNORE])
    if not len(present):
        return None, None
    pixels = np.flatnonzero(mask.ravel() == rng.choice(present))
    row, column = divmod(int(rng.choice(pixels)), mask.shape[1])
    return row, column


def _interval(side: int, wanted: int, anchor: int | None, rng: np.random.Generator) -> slice:
    """`wanted` of `side` pixels at random, the anchor's among them."""
    first, last = 0, side - wanted
    if anchor is not None:
        first, last = max(0, anchor - wanted + 1), min(last, anchor)
    start = int(rng.integers(first, last + 1))
    return slice(start, start + wanted)
