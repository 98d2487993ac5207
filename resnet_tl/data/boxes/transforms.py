"""What happens to an image and its objects before they join a batch.

Every draw comes from one generator, seeded for one image in one epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import albumentations as A
import cv2
import numpy as np

from resnet_tl.data.boxes import scenes
from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene
from resnet_tl.data.images.augment import ColourAugment, Strength
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.listed_transforms import apply, compose
from resnet_tl.data.images.resize import Interpolation, resized_size
from resnet_tl.data.listings.objects import Objects
from resnet_tl.errors import RecipeError
from resnet_tl.structures.masks import to_pixels, to_run_lengths

SceneSampler: TypeAlias = Callable[[np.random.Generator], Scene]
"""Draws another image of the same listing, whole."""


class SceneTransform(Protocol):
    def __call__(self, scene: Scene, seed: Seed, another: SceneSampler) -> Scene: ...


class Fit:
    """The whole image, its short side resized to `short` pixels, its long side to `longest` at most.

    Args:
        fast: resize as training does, see `resize_fast`.
    """

    def __init__(self, short: int, longest: int | None, interpolation: Interpolation, *, fast: bool = False) -> None:
        self.short, self.longest, self.interpolation, self.fast = short, longest, interpolation, fast

    def __call__(self, scene: Scene, seed: Seed, another: SceneSampler) -> Scene:
        return self.scaled(scene, 1.0)

    def scaled(self, scene: Scene, factor: float) -> Scene:
        """At `factor` times that size."""
        height, width = resized_size(*scene.size, self.short, self.longest)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        return scenes.resized(scene, size, self.interpolation, fast=self.fast)


class Jitter:
    """Large-scale jitter (arXiv:2012.07177, section 3): resized to `scale` times its ordinary size, what exceeds that
    size cut off at a random place; mirrored every other time. `colours` changes its colours, when all is in place.

    Args:
        fit: gives the ordinary size.
        scale: smallest and largest factor, drawn evenly in its logarithm.
        strength: of the changes of colour, as in classification; `none` does not mirror either.
    """

    def __init__(self, fit: Fit, scale: tuple[float, float], strength: Strength) -> None:
        self.fit, self.scale, self.strength = fit, scale, strength
        self.colours = ColourAugment(strength)

    def __call__(
        self, scene: Scene, rng: np.random.Generator, *, room: tuple[int, int] | None = None, factor: float = 1.0
    ) -> Scene:
        """`factor` times as large, cut to the `room` (h, w) there is; None: the ordinary size."""
        room = room or resized_size(*scene.size, self.fit.short, self.fit.longest)
        scene = self.fit.scaled(scene, factor * float(np.exp(rng.uniform(*np.log(self.scale)))))
        height, width = (min(pair) for pair in zip(scene.size, room, strict=True))
        top, left = (int(rng.integers(have - want + 1)) for have, want in zip(scene.size, (height, width), strict=True))
        scene = scenes.cut(scene, top, left, height, width)
        return scenes.mirrored(scene) if self.strength != "none" and rng.random() < 0.5 else scene


class Listed:
    """The transforms that a recipe lists, over image, boxes and masks."""

    def __init__(self, steps: Sequence[dict[str, Any]], key: str) -> None:
        # Boxes carry their row's number: labels themselves would come back as floats.
        boxes = A.BboxParams("pascal_voc", label_fields=["rows"], min_visibility=MIN_VISIBLE_SHARE, clip=True)
        self.compose = compose(steps, key, bbox_params=boxes, mask_interpolation=cv2.INTER_NEAREST)
        self.key = key

    def __call__(self, scene: Scene, seed: Seed, another: SceneSampler) -> Scene:
        objects = scene.objects
        shapes = {}
        if objects.masks:
            shapes["masks"] = [to_pixels(mask, *scene.size).astype(np.uint8) for mask in objects.masks]
        own = scene.image.copy()  # some transforms write in place
        rows = np.arange(len(objects.boxes))
        rng = np.random.default_rng(seed)
        changed = apply(self.compose, rng, image=own, bboxes=objects.boxes, rows=rows, **shapes)
        image = changed["image"]
        if image.dtype != scene.image.dtype or image.ndim != 3:
            raise RecipeError(
                f"{self.key} turn {scene.image.dtype} images into {image.dtype} of shape {image.shape}; "
                "expected the same dtype, height x width x channels"
            )
        boxes = np.asarray(changed["bboxes"], np.float32).reshape(-1, 4)
        rows = np.asarray(changed["rows"]).round().astype(np.int64)
        return Scene(image, _kept(objects, rows, boxes, changed.get("masks")))


def _kept(objects: Objects, rows: np.ndarray, boxes: np.ndarray, pixels: Any) -> Objects:
    """The objects at `rows`, with new boxes, and masks of these `pixels` `[M, H, W]`."""
    _, labels, crowd, area, shapes = objects
    grown = scenes.area(boxes) / scenes.area(objects.boxes[rows])
    if pixels is None:
        kept = Objects(boxes, labels[rows], crowd[rows], area[rows] * grown, shapes and [])
        return kept.where(grown > 0)
    drawn = [np.asarray(pixels[row], bool) for row in rows]
    count = np.array([each.sum() for each in drawn], np.float32)
    kept = Objects(boxes, labels[rows], crowd[rows], count, [to_run_lengths(each) for each in drawn])
    return kept.where((grown > 0) & (count > 0))
