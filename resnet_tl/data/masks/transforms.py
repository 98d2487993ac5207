"""Transforms of an image and its mask together. Masks are cropped, mirrored and resized, but never interpolated.

Every draw comes from one generator, seeded for one image in one epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from resnet_tl.data.images.augment import ColourAugment, Strength
from resnet_tl.data.images.class_masks import ClassMask, Coding, unknown_values, without_class
from resnet_tl.data.images.crops import Seed, mirror
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.deferred import Deferred
from resnet_tl.data.images.listed_transforms import apply, compose
from resnet_tl.data.images.resize import Interpolation, resize, resize_fast, resized_size
from resnet_tl.errors import RecipeError
from resnet_tl.structures.records import IGNORE


class Pair(NamedTuple):
    """image: `[H, W, C]`. mask: `[H, W]`. size: (h, w) without the padding on the right and at the bottom."""

    image: ImageArray
    mask: ClassMask
    size: tuple[int, int]


class PairTransform(Protocol):
    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair: ...


class ResizeWhole:
    """Resizes the whole image to a short side of `short` pixels; 0: keeps its size."""

    def __init__(self, short: int, interpolation: Interpolation = "bilinear") -> None:
        self.short, self.interpolation = short, interpolation

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        height, width = resized_size(mask.shape[0], mask.shape[1], self.short)
        mask = resize(mask[..., None], height, width, "nearest")[..., 0]
        return Pair(resize(image, height, width, self.interpolation), mask, (height, width))


class CentreCrop:
    """Crops the centre to `size` (h, w) after resizing to a short side of `short` pixels (0: keeps its size); smaller
    images are padded, and the padding is ignored."""

    def __init__(self, size: tuple[int, int], short: int, interpolation: Interpolation = "bilinear") -> None:
        self.size, self.resize = size, ResizeWhole(short, interpolation)

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        pair = self.resize(image, mask, seed)
        top, left = (max(0, side - crop) // 2 for side, crop in zip(pair.mask.shape, self.size, strict=True))
        window = (slice(top, top + self.size[0]), slice(left, left + self.size[1]))
        return pad(pair.image[window], pair.mask[window], self.size)


class RandomCrop:
    """Crops at a random scale, mirrors with probability 0.5, and changes colours.

    Args:
        size: (h, w) of the crop in pixels; smaller images are padded, and the padding is ignored.
        scale: smallest and largest factor on the image's size, drawn uniformly in its logarithm.
        short: pixels of the short side before that factor; 0: the image's own.
        balanced: share of the crops that are cut around a pixel of a class drawn uniformly from those in the mask, so
            that rare and small classes occur as often as large ones.
        strength: of the colour changes, as in classification.
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
        rows, columns = self._window(mask, factor, rng)
        image, mask = image[rows, columns].copy(), mask[rows, columns]
        height, width = (
            max(1, min(crop, round(side * factor))) for side, crop in zip(mask.shape, self.size, strict=True)
        )
        image = resize_fast(image, height, width, self.interpolation)
        mask = resize(mask[..., None], height, width, "nearest")[..., 0]
        if rng.random() < 0.5:
            image, mask = mirror(image), np.ascontiguousarray(mask[:, ::-1])
        return pad(self.colours(image, rng), mask, self.size)

    def _window(self, mask: ClassMask, factor: float, rng: np.random.Generator) -> tuple[slice, slice]:
        """Returns the rows and columns of the image that fill the crop at this scale, or all there are."""
        lengths = [max(1, min(side, round(crop / factor))) for side, crop in zip(mask.shape, self.size, strict=True)]
        row, column = _anchor(mask, rng) if rng.random() < self.balanced else (None, None)
        rows = _interval(mask.shape[0], lengths[0], row, rng)
        return rows, _interval(mask.shape[1], lengths[1], column, rng)


class ListedPairTransforms:
    """The transforms that a recipe lists, applied to image and mask.

    Args:
        steps: that list. A `fill_mask` in it is a value of the mask files; without it, filled pixels are ignored.
        size: (h, w) to which results are padded, and which they must not exceed; None: any.
        key: where the list is in the recipe.
        coding: of the mask files.

    Raises:
        RecipeError: see `compose`; or a `fill_mask` is not a value of the masks.
    """

    def __init__(self, steps: Sequence[dict[str, Any]], size: tuple[int, int] | None, key: str, coding: Coding) -> None:
        steps = [_with_shifted_fill(step, key, coding) for step in steps]
        self.compose = compose(steps, key, mask_interpolation=cv2.INTER_NEAREST)
        self.size, self.key = size, key

    def __call__(self, image: ImageArray, mask: ClassMask, seed: Seed) -> Pair:
        # Shifted by one, so that the 0 which transforms fill in becomes `IGNORE` (0 - 1 wraps to 255), not class 0.
        changed = apply(self.compose, np.random.default_rng(seed), image=image.copy(), mask=mask + np.uint8(1))
        image, mask = changed["image"], changed["mask"] - np.uint8(1)
        if self.size is not None and (mask.shape[0] > self.size[0] or mask.shape[1] > self.size[1]):
            raise RecipeError(
                f"{self.key} leave {mask.shape[1]} x {mask.shape[0]} pixels; expected at most data.image_size"
            )
        return pad(image, mask, self.size or (mask.shape[0], mask.shape[1]))


def _with_shifted_fill(step: Any, key: str, coding: Coding) -> Any:
    """Returns a listed transform, and those within it, with the `fill_mask` of masks that are shifted by one."""
    arguments = step.get("init_args") if isinstance(step, dict) else None
    if not isinstance(arguments, dict):
        return step
    arguments = dict(arguments)
    if isinstance(inner := arguments.get("transforms"), list):
        arguments["transforms"] = [_with_shifted_fill(each, key, coding) for each in inner]
    if (fill := arguments.get("fill_mask")) is not None:
        values = np.atleast_1d(np.asarray(fill))
        if values.dtype.kind not in "iuf" or (values % 1).any() or values.min() < 0:
            raise RecipeError(f"{key}: {step.get('class_path')}: fill_mask is {fill!r}; expected a value of the masks")
        values = values.astype(np.int64)
        if unknown := unknown_values(values, coding):
            raise RecipeError(f"{key}: {step.get('class_path')}: fill_mask {fill!r} {without_class(unknown, coding)}")
        shifted = (coding.classes(values) + np.uint8(1)).tolist()
        arguments["fill_mask"] = shifted if isinstance(fill, Sequence) else shifted[0]
    return {**step, "init_args": arguments}


def pad(image: ImageArray, mask: ClassMask, size: tuple[int, int]) -> Pair:
    """Pads image and mask on the right and at the bottom to `size` (h, w), with black and `IGNORE`."""
    height, width = mask.shape
    if (height, width) == size:
        return Pair(image, mask, size)
    labels = np.full(size, IGNORE, np.uint8)
    labels[:height, :width] = mask
    if isinstance(image, Deferred):
        return Pair(image.padded(*size), labels, (height, width))
    padded = np.zeros((*size, image.shape[2]), image.dtype)
    padded[:height, :width] = image
    return Pair(padded, labels, (height, width))


def _anchor(mask: ClassMask, rng: np.random.Generator) -> tuple[int | None, int | None]:
    """Returns a random pixel of a random class of the mask; (None, None) where everything is ignored."""
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)[:IGNORE])
    if not len(present):
        return None, None
    pixels = np.flatnonzero(mask.ravel() == rng.choice(present))
    row, column = divmod(int(rng.choice(pixels)), mask.shape[1])
    return row, column


def _interval(side: int, length: int, anchor: int | None, rng: np.random.Generator) -> slice:
    """Returns a random interval of `length` out of `side` pixels, which includes the anchor."""
    first, last = 0, side - length
    if anchor is not None:
        first, last = max(0, anchor - length + 1), min(last, anchor)
    start = int(rng.integers(first, last + 1))
    return slice(start, start + length)
