"""albumentations' transforms as a recipe lists them: built with errors that name the fault, and seeded per image.

Every draw comes from one generator, seeded for one image in one epoch. (albumentations' own `set_random_seed` starts
every transform of a pipeline in the same state: a flip and a blur of p=0.5 would always occur together.)
"""

from __future__ import annotations

import importlib
import inspect
import os
import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    import albumentations as A

RESIZES = {"Resize", "SmallestMaxSize", "LongestMaxSize"}
"""Transforms of geometry after which an image still shows all of itself and nothing else."""

REFUSED = {"Normalize", "ToTensorV2", "ToTensor3D", "ToFloat", "FromFloat"}
"""Transforms that do the network's work: images stay bytes until it normalises them."""


class ListedTransforms:
    """The transforms that a recipe lists: `[{class_path: HorizontalFlip, init_args: {p: 0.5}}, ...]`.

    A class path is a name of albumentations or the import path of a custom transform; transforms that take others
    (`OneOf`) list them the same way. They receive the whole image and must end in one size.

    Args:
        steps: that list.
        key: where the list is in the recipe; error messages begin with it.

    Raises:
        RecipeError: an unknown transform, a wrong argument, or a transform that normalises or makes tensors.
    """

    def __init__(self, steps: Sequence[dict[str, Any]], key: str = "transforms") -> None:
        self.pipeline = compose(steps, key)

    def __call__(self, image: ImageArray, original: tuple[int, int], seed: Seed) -> ImageArray:
        """`[H, W, C]` -> `[1, size, size, C]`."""
        copy = image.copy()  # some transforms write in place, and the image may be part of a cache
        result = apply(self.pipeline, np.random.default_rng(seed), image=copy)["image"]
        if result.dtype != image.dtype or result.ndim != 3:
            raise RecipeError(
                f"the listed transforms turn {image.dtype} images into {result.dtype} of shape {result.shape}; "
                "expected the same dtype, height x width x channels"
            )
        return result[None]

    def reduction(self, original: tuple[int, int], seed: Seed) -> int:
        return 1


def library() -> Any:
    """albumentations, which takes a second to import: it is imported where a transform of it is built."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing must not ask the network for a newer version
    return importlib.import_module("albumentations")


def compose_of(transforms: Sequence[A.BasicTransform | A.BaseCompose], **options: Any) -> A.Compose:
    return library().Compose(list(transforms), **options)


def compose(steps: Sequence[dict[str, Any]], key: str, **options: Any) -> A.Compose:
    """Builds the `Compose` of the transforms listed at `key` of the recipe; `options` are those of `Compose`."""
    try:
        return compose_of([build_transform(step) for step in steps], **options)
    except RecipeError as error:
        raise RecipeError(f"{key}: {error}") from error


def apply(pipeline: A.Compose, rng: np.random.Generator, **targets: Any) -> dict[str, Any]:
    """Applies `pipeline` to `targets` (`image`, `mask`, `bboxes` ...), taking every draw from `rng`."""
    pipeline.set_random_state(rng, random.Random(int(rng.integers(1 << 63))))
    result: dict[str, Any] = pipeline(**targets)
    return result


def build_transform(step: Any) -> A.BasicTransform | A.BaseCompose:
    """Builds the transform that one entry of a recipe's list names."""
    if not isinstance(step, dict) or "class_path" not in step or step.keys() - {"class_path", "init_args"}:
        raise RecipeError(f"{step!r} is not a transform; expected class_path and init_args")
    name, arguments = step["class_path"], step.get("init_args") or {}
    kind = _find(name)
    if not isinstance(arguments, dict):
        raise RecipeError(f"{name}: init_args is {arguments!r}; expected names and values")
    known = list(inspect.signature(kind).parameters)
    if unknown := [key for key in arguments if key not in known]:
        near = did_you_mean(unknown[0], known) or f"; it takes {', '.join(known)}"
        raise RecipeError(f"{name} has no argument {unknown[0]!r}{near}")
    if isinstance(arguments.get("transforms"), list):
        arguments = {**arguments, "transforms": [build_transform(inner) for inner in arguments["transforms"]]}
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{name}: {_one_line(error)}") from error


def partial_view(steps: Sequence[dict[str, Any]]) -> str | None:
    """Returns the first listed transform that may crop, pad, turn or distort images; None if they stay whole."""
    for step in steps:
        kind, inner = _find(step["class_path"]), (step.get("init_args") or {}).get("transforms")
        if inner is not None:
            if name := partial_view(inner):
                return name
        elif not (issubclass(kind, library().ImageOnlyTransform) or kind.__name__ in RESIZES):
            return kind.__name__
    return None


def _find(name: str) -> type[A.BasicTransform | A.BaseCompose]:
    """Returns a transform of albumentations, or the one at an import path."""
    if not isinstance(name, str):
        raise RecipeError(f"class_path is {name!r}; expected the name of a transform")
    module, _, attribute = name.rpartition(".")
    if attribute in REFUSED:
        raise RecipeError(f"{name} cannot be listed: images stay bytes and the network normalises them; remove it")
    try:
        found: Any = getattr(importlib.import_module(module) if module else library(), attribute, None)
    except (ImportError, TypeError, ValueError) as error:  # TypeError, ValueError: not a path, "a..b"
        raise RecipeError(f"{name} cannot be imported ({error})") from error
    if not _is_transform(found):
        known = [] if module else [other for other, value in vars(library()).items() if _is_transform(value)]
        raise RecipeError(f"{name!r} is not a transform of albumentations{did_you_mean(name, known)}")
    return found


def _is_transform(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, (library().BasicTransform, library().BaseCompose))


def _one_line(error: Exception) -> str:
    """pydantic spreads its message over lines: a heading, the argument, what is wrong with it."""
    lines = [line.strip() for line in str(error).splitlines()]
    if len(lines) < 3:
        return " ".join(lines)
    message, _, details = lines[2].partition(" [type=")
    given = re.search(r"input_value=(.*), input_type=", details)
    return f"{lines[1]}: {message}" + (f", not {given[1]}" if given and "Field required" not in message else "")
