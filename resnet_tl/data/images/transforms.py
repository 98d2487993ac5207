"""What happens to a decoded image before it joins a batch: presets for training, views for evaluation, and pipelines
that a recipe lists. Images stay uint8 or uint16 here; the network normalises them.

Every draw comes from one generator, seeded for one image in one epoch. (albumentations' own `set_random_seed` starts
every transform of a pipeline at the same state: a flip and a blur of p=0.5 would always happen together.)
"""

from __future__ import annotations

import importlib
import inspect
import os
import random
import re
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing must not ask the network for a newer version
import albumentations as A
import cv2

from resnet_tl.data.images.crops import Seed, Views, mirrored, random_area, reduction
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.resize import Interpolation, resize_fast, resize_short
from resnet_tl.errors import RecipeError, did_you_mean

Strength = Literal["none", "light", "medium", "strong"]


class Transform(Protocol):
    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        """`[H, W, C]` -> its views `[V, size, size, C]`, of the same dtype.

        `original` is the file's (h, w); an image decoded or cached at a reduced size is smaller.
        """

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        """The largest of 1, 2, 4, 8 by which the decoder may divide the size, so that nothing is enlarged for it."""


def training(strength: Strength, size: int, interpolation: Interpolation = "bilinear") -> Transform:
    """A preset for classification.

    Args:
        strength:
            none: the short side resized, the centre cut out; every epoch shows the same image.
            light: a random crop of 35 to 100 % of the area, mirrored every other time; see `Augment`.
            medium: the same of 20 to 100 %, brightness, contrast and colour changed a little.
            strong: the same of 8 to 100 %, turned, sheared, blurred or sharpened, grey at times, a part erased; for
                long training.
        size: pixels of the square that comes out.
        interpolation: bilinear, bicubic or nearest.
    """
    if strength == "none":
        return Views(size, interpolation=interpolation)
    if strength not in PRESETS:
        raise RecipeError(
            f"augment: {strength!r} is none of none, light, medium, strong{did_you_mean(strength, PRESETS)}"
        )
    smallest, anything, rgb = PRESETS[strength]
    return Augment(size, (smallest, 1.0), interpolation, anything=anything(), rgb=rgb())


def evaluation(
    size: int,
    crop: float = 0.875,
    interpolation: Interpolation = "bilinear",
    crops: int = 1,
    scales: Sequence[int] = (),
) -> Transform:
    """The centre `size` x `size` of the image with its short side resized to `size / crop`.

    Args:
        crops: 10: the four corners and the centre, and the same mirrored (He et al. 2015, section 3.4).
        scales: short sides in pixels, instead of `size / crop`; with several, each gives its own views.

    Raises:
        RecipeError: crops other than 1 and 10, a crop outside 0...1, a scale below `size`.
    """
    if not 0 < crop <= 1:
        raise RecipeError(f"data.crop: {crop} is no share of the short side; expected more than 0 and at most 1")
    if crops not in (1, 10):
        raise RecipeError(f"data.crops: {crops} is not possible; expected 1 or 10")
    if small := [scale for scale in scales if scale < size]:
        raise RecipeError(
            f"data.scales: a short side of {small[0]} is smaller than data.image_size {size}; expected {size} or more"
        )
    return Views(size, tuple(scales) or (int(size / crop),), interpolation, crops)


def pipeline(steps: Sequence[dict[str, Any]], key: str = "transforms") -> Transform:
    """The transforms that a recipe lists: `[{class_path: HorizontalFlip, init_args: {p: 0.5}}, ...]`.

    A class path is a name of albumentations, or the import path of a transform of one's own; transforms that take
    others (`OneOf`) list them the same way. They get the whole image, and must end in one size.

    Raises:
        RecipeError: an unknown transform, a wrong argument, or one that normalises or makes tensors; it begins with
            `key`, where the list stands in the recipe.
    """
    return Pipeline(composed(steps, key))


def composed(steps: Sequence[dict[str, Any]], key: str, **options: Any) -> A.Compose:
    """albumentations' own of what a recipe lists under `key`, see `pipeline`; `options` are those of `Compose`."""
    try:
        return A.Compose([built(step) for step in steps], **options)
    except RecipeError as error:
        raise RecipeError(f"{key}: {error}") from error


def applied(compose: A.Compose, rng: np.random.Generator, **targets: Any) -> dict[str, Any]:
    """What it makes of `targets` (`image`, `mask`, `bboxes` ...), every draw taken from `rng`."""
    compose.set_random_state(rng, random.Random(int(rng.integers(1 << 63))))
    result: dict[str, Any] = compose(**targets)
    return result


class Augment:
    """A random crop, resized to `size`, mirrored every other time, then changed by `anything` and, if it is RGB of 8
    bits, by `rgb`.

    An image that is about `size` already (both sides within a quarter) has no room for random areas and aspects: it is
    padded by an eighth, mirrored at the edge, and a square of `size` is cut at random (32 pixels: 4, as in He et al.
    2015, section 4.2). From others a part of a random area and aspect (3:4 to 4:3) is cut (Szegedy et al. 2014).

    Crops are drawn in the file's own pixels, so that an image decoded or cached at a reduced size shows the same.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float],
        interpolation: Interpolation,
        *,
        anything: Sequence[A.BasicTransform] = (),
        rgb: Sequence[A.BasicTransform] = (),
    ) -> None:
        self.size, self.scale, self.interpolation = size, scale, interpolation
        self.anything, self.rgb = (A.Compose(list(more)) if more else None for more in (anything, (*anything, *rgb)))

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        rng = np.random.default_rng(seed)
        if self._is_near(original):
            image = self._shift(image, rng)
        else:
            image = self._cut(image, original, rng)
        if rng.random() < 0.5:
            image = mirrored(image)
        is_rgb = image.dtype == np.uint8 and image.shape[2] == 3
        more = self.rgb if is_rgb else self.anything
        return (applied(more, rng, image=image)["image"] if more else image)[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        if min(original) < 2 * self.size:  # whatever is cut from it has fewer pixels still
            return 1
        _, _, height, width = random_area(*original, self.scale, np.random.default_rng(seed))
        return reduction(min(height, width), self.size)

    def _is_near(self, original: tuple[int, int]) -> bool:
        return 0.8 * self.size <= min(original) and max(original) <= 1.25 * self.size

    def _shift(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        image = resize_short(image, self.size, self.interpolation)
        pad = self.size // 8
        top, left = (int(rng.integers(side + 2 * pad - self.size + 1)) for side in image.shape[:2])
        padded = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
        return padded[top : top + self.size, left : left + self.size].reshape(self.size, self.size, -1)

    def _cut(self, image: ImageArray, original: tuple[int, int], rng: np.random.Generator) -> ImageArray:
        top, left, height, width = random_area(*original, self.scale, rng)
        down, right = image.shape[0] / original[0], image.shape[1] / original[1]
        rows = slice(int(top * down), max(int(top * down) + 1, round((top + height) * down)))
        columns = slice(int(left * right), max(int(left * right) + 1, round((left + width) * right)))
        return resize_fast(image[rows, columns], self.size, self.size, self.interpolation)


class Pipeline:
    """A recipe's own list, as it stands."""

    def __init__(self, compose: A.Compose) -> None:
        self.compose = compose

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        own = image.copy()  # some transforms write in place, and the image may lie in a cache
        result = applied(self.compose, np.random.default_rng(seed), image=own)["image"]
        if result.dtype != image.dtype or result.ndim != 3:
            raise RecipeError(
                f"the listed transforms turn {image.dtype} images into {result.dtype} of shape {result.shape}; "
                "expected the same dtype, height x width x channels"
            )
        return result[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        return 1


class Colours:
    """What a strength changes of an image whose content stays where it is: light, colours, sharpness."""

    def __init__(self, strength: Strength) -> None:
        _, anything, rgb = PRESETS[strength] if strength != "none" else (1.0, list, list)
        plain = [step for step in anything() if not isinstance(step, A.Affine | A.CoarseDropout)]
        self.anything, self.rgb = (A.Compose(list(more)) if more else None for more in (plain, [*plain, *rgb()]))

    def __call__(self, image: ImageArray, rng: np.random.Generator) -> ImageArray:
        is_rgb = image.dtype == np.uint8 and image.shape[2] == 3
        more = self.rgb if is_rgb else self.anything
        return applied(more, rng, image=image)["image"] if more else image


def _medium() -> list[A.BasicTransform]:
    return [A.RandomBrightnessContrast(0.2, 0.2, p=0.8)]


def _medium_rgb() -> list[A.BasicTransform]:
    return [A.HueSaturationValue(hue_shift_limit=5, sat_shift_limit=30, val_shift_limit=0, p=0.5)]


def _strong() -> list[A.BasicTransform]:
    return [
        A.Affine(rotate=(-15, 15), shear=(-10, 10), border_mode=cv2.BORDER_REFLECT_101, p=0.5),
        A.RandomBrightnessContrast(0.4, 0.4, p=0.8),
        A.OneOf([A.GaussianBlur((3, 7)), A.Sharpen()], p=0.2),
        A.CoarseDropout((1, 1), (0.1, 0.4), (0.1, 0.4), fill="random_uniform", p=0.25),
    ]


def _strong_rgb() -> list[A.BasicTransform]:
    return [A.HueSaturationValue(hue_shift_limit=15, sat_shift_limit=50, val_shift_limit=0, p=0.7), A.ToGray(p=0.1)]


PRESETS = {
    "light": (0.35, list, list),
    "medium": (0.2, _medium, _medium_rgb),
    "strong": (0.08, _strong, _strong_rgb),
}
"""Strength -> (smallest share of the area, transforms for any image, more for 8-bit RGB)."""


UNWANTED = {"Normalize", "ToTensorV2", "ToTensor3D", "ToFloat", "FromFloat"}
Kinds = (A.BasicTransform, A.BaseCompose)


def built(step: Any) -> Any:
    """The transform that an entry of a recipe's list names."""
    if not isinstance(step, dict) or "class_path" not in step or step.keys() - {"class_path", "init_args"}:
        raise RecipeError(f"{step!r} is no transform; expected class_path and init_args")
    name, arguments = step["class_path"], step.get("init_args") or {}
    kind = _find(name)
    if not isinstance(arguments, dict):
        raise RecipeError(f"{name}: init_args is {arguments!r}; expected names and values")
    known = list(inspect.signature(kind).parameters)
    if wrong := [key for key in arguments if key not in known]:
        near = did_you_mean(wrong[0], known) or f"; it takes {', '.join(known)}"
        raise RecipeError(f"{name} has no argument {wrong[0]!r}{near}")
    if isinstance(arguments.get("transforms"), list):
        arguments = {**arguments, "transforms": [built(inner) for inner in arguments["transforms"]]}
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{name}: {_one_line(error)}") from error


def _find(name: str) -> Any:
    """A transform of albumentations, or one named by its import path."""
    module, _, attribute = name.rpartition(".")
    if attribute in UNWANTED:
        raise RecipeError(f"{name} is not wanted: images stay as bytes and the network normalises them; leave it out")
    try:
        found = getattr(importlib.import_module(module) if module else A, attribute, None)
    except ImportError as error:
        raise RecipeError(f"{name} cannot be imported ({error})") from error
    if not _is_transform(found):
        near = "" if module else did_you_mean(name, [known for known, value in vars(A).items() if _is_transform(value)])
        raise RecipeError(f"{name!r} is no transform of albumentations{near}")
    return found


def _is_transform(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Kinds)


def _one_line(error: Exception) -> str:
    """pydantic spreads its finding over lines: a heading, the argument, what is wrong with it."""
    lines = [line.strip() for line in str(error).splitlines()]
    if len(lines) < 3:
        return " ".join(lines)
    finding, _, details = lines[2].partition(" [type=")
    given = re.search(r"input_value=(.*), input_type=", details)
    return f"{lines[1]}: {finding}" + (f", not {given[1]}" if given and "Field required" not in finding else "")
