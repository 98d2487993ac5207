"""The augmentation presets: random crops, mirroring, and changes of colour and geometry by strength or by a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from resnet_tl.data.images.crops import Seed, mirror, random_area, reduction, reflect
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.deferred import Deferred
from resnet_tl.data.images.drawn_only import DrawnOnly
from resnet_tl.data.images.listed_transforms import apply, compose_of, library
from resnet_tl.data.images.operations import RANDAUGMENT, WIDE, RandomOperations
from resnet_tl.data.images.resize import Interpolation, resize_fast, resize_short

if TYPE_CHECKING:
    import albumentations as A

Strength = Literal["none", "light", "medium", "strong", "trivial", "rand"]
Change: TypeAlias = Callable[[ImageArray, np.random.Generator], ImageArray]
"""(image, generator) -> another image of its shape and dtype."""


class Augment:
    """A random crop resized to `size`, mirrored with probability 0.5, then changed.

    An image of about `size` already (both sides within a quarter) leaves no room for random areas and aspect ratios: it
    is padded by an eighth, reflected at the edges, and a random `size` x `size` square is cut (for 32 pixels a padding
    of 4, as in He et al. 2015, section 4.2). Larger images give a crop of random area and aspect ratio, 3:4 to 4:3
    (Szegedy et al. 2014).

    Crops are drawn in the file's own pixels, so an image decoded or cached at a reduced size shows the same part.

    Args:
        size: side of the square in pixels.
        scale: smallest and largest share of the area to crop.
        interpolation: of the resize.
        changes: applied to the square, one after the other.
    """

    def __init__(
        self, size: int, scale: tuple[float, float], interpolation: Interpolation, changes: Sequence[Change] = ()
    ) -> None:
        self.size, self.scale, self.interpolation, self.changes = size, scale, interpolation, changes

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        rng = np.random.default_rng(seed)
        if self._is_near_size(original):
            image = self._shift(image, rng)
        else:
            image = self._crop(image, original, rng)
        if rng.random() < 0.5:
            image = mirror(image)
        for change in self.changes:
            image = change(image, rng)
        return image[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        if min(original) < 2 * self.size:  # every crop is smaller still
            return 1
        _, _, height, width = random_area(*original, self.scale, np.random.default_rng(seed))
        return reduction(min(height, width), self.size)

    def _is_near_size(self, original: tuple[int, int]) -> bool:
        return 0.8 * self.size <= min(original) and max(original) <= 1.25 * self.size

    def _shift(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        image = resize_short(image, self.size, self.interpolation)
        pad = self.size // 8
        top, left = (int(rng.integers(side + 2 * pad - self.size + 1)) for side in image.shape[:2])
        return reflect(image, pad)[top : top + self.size, left : left + self.size]

    def _crop(self, image: ImageArray, original: tuple[int, int], rng: np.random.Generator) -> ImageArray:
        top, left, height, width = random_area(*original, self.scale, rng)
        # From the file's pixels to those of an image that may have been decoded or cached at a reduced size.
        down, right = image.shape[0] / original[0], image.shape[1] / original[1]
        rows = slice(int(top * down), max(int(top * down) + 1, round((top + height) * down)))
        columns = slice(int(left * right), max(int(left * right) + 1, round((left + width) * right)))
        return resize_fast(image[rows, columns], self.size, self.size, self.interpolation)


class ColourAugment:
    """What a preset changes and keeps every pixel in place: brightness, colour, sharpness."""

    def __init__(self, strength: Strength) -> None:
        self.change = preset(strength, in_place=True)[1]

    def __call__(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        """`[H, W, C]` -> `[H, W, C]` of the same dtype."""
        return self.change(image, rng)


def preset(strength: Strength, *, in_place: bool = False) -> tuple[float, Change]:
    """Returns the smallest share of an image's area to crop, and what else changes.

    in_place: only changes that keep every pixel in place.
    """
    if strength in POLICIES:
        smallest, policy = POLICIES[strength]
        return smallest, policy(in_place=in_place)
    smallest, anything, rgb = PRESETS[strength] if strength != "none" else (1.0, list, list)
    steps = [step for step in anything() if not (in_place and type(step).__name__ in ("Affine", "CoarseDropout"))]
    return smallest, _StepsByKind(steps, rgb())


class _StepsByKind:
    """`anything` for every image, followed by `rgb` for 8-bit RGB images."""

    def __init__(self, anything: Sequence[A.BasicTransform], rgb: Sequence[A.BasicTransform]) -> None:
        self.anything, self.rgb = (compose_of(steps) if steps else None for steps in (anything, (*anything, *rgb)))
        self._drawn_only: dict[bool, DrawnOnly] = {}

    def __call__(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        is_rgb = image.dtype == np.uint8 and image.shape[2] == 3
        steps = self.rgb if is_rgb else self.anything
        if not steps:
            return image
        if isinstance(image, Deferred):
            if is_rgb not in self._drawn_only:
                self._drawn_only[is_rgb] = DrawnOnly(steps)
            return image.coloured(self._drawn_only[is_rgb](rng, image.shape))
        return apply(steps, rng, image=image)["image"]


def _medium() -> list[A.BasicTransform]:
    A = library()
    return [A.RandomBrightnessContrast(0.2, 0.2, p=0.8)]


def _medium_rgb() -> list[A.BasicTransform]:
    A = library()
    return [A.HueSaturationValue(hue_shift_limit=5, sat_shift_limit=30, val_shift_limit=0, p=0.5)]


def _strong() -> list[A.BasicTransform]:
    A = library()
    return [
        A.Affine(rotate=(-15, 15), shear=(-10, 10), border_mode=cv2.BORDER_REFLECT_101, p=0.5),
        A.RandomBrightnessContrast(0.4, 0.4, p=0.8),
        A.OneOf([A.GaussianBlur((3, 7)), A.Sharpen()], p=0.2),
        A.CoarseDropout((1, 1), (0.1, 0.4), (0.1, 0.4), fill="random_uniform", p=0.25),
    ]


def _strong_rgb() -> list[A.BasicTransform]:
    A = library()
    return [A.HueSaturationValue(hue_shift_limit=15, sat_shift_limit=50, val_shift_limit=0, p=0.7), A.ToGray(p=0.1)]


PRESETS = {
    "light": (0.35, list, list),
    "medium": (0.2, _medium, _medium_rgb),
    "strong": (0.08, _strong, _strong_rgb),
}
"""Strength -> (smallest share of the area, steps for every image, further steps for 8-bit RGB)."""

POLICIES: dict[str, tuple[float, Callable[..., RandomOperations]]] = {
    "trivial": (0.08, partial(RandomOperations, WIDE, 1, None)),
    "rand": (0.08, partial(RandomOperations, RANDAUGMENT, 2, 9)),
}
"""Strength -> (smallest share of the area, operations), as torchvision's references have them. TrivialAugment
(arXiv:2103.10158): one operation of any magnitude. RandAugment (arXiv:1909.13719): two of magnitude 9, the paper's for
ResNet-50."""
