"""Transforms of an image and its objects. Every draw comes from one generator, seeded for one image in one epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np

from resnet_tl.data.boxes import scenes
from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene
from resnet_tl.data.images.augment import ColourAugment, Strength
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.listed_transforms import apply, compose, library
from resnet_tl.data.images.resize import Interpolation, resized_size
from resnet_tl.data.listings.objects import Objects
from resnet_tl.errors import RecipeError
from resnet_tl.structures.masks import to_pixels, to_run_lengths

SceneSampler: TypeAlias = Callable[[np.random.Generator], Scene]
"""Returns another, whole image of the same listing, drawn at random."""


class SceneTransform(Protocol):
    def __call__(self, scene: Scene, seed: Seed, sample: SceneSampler) -> Scene: ...


class ResizeWhole:
    """Resizes the whole image to a short side of `short` pixels and a long side of at most `longest`.

    Args:
        fast: resize by `resize_fast`, for training.
    """

    def __init__(self, short: int, longest: int | None, interpolation: Interpolation, *, fast: bool = False) -> None:
        self.short, self.longest, self.interpolation, self.fast = short, longest, interpolation, fast

    def __call__(self, scene: Scene, seed: Seed, sample: SceneSampler) -> Scene:
        return self.scaled(scene, 1.0)

    def scaled(self, scene: Scene, factor: float) -> Scene:
        """Resizes to `factor` times that size."""
        height, width = resized_size(*scene.size, self.short, self.longest)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        return scenes.resize_scene(scene, size, self.interpolation, fast=self.fast)


class LargeScaleJitter:
    """Large-scale jitter (arXiv:2012.07177, section 3): resizes to `scale` times the usual size, crops what exceeds the
    usual size at a random place, and mirrors with probability 0.5. `colours` is applied by the caller afterwards.

    Args:
        resize: resizes to the usual size.
        scale: smallest and largest factor, drawn uniformly in its logarithm.
        strength: of the colour changes, as in classification; `none` also turns mirroring off.
    """

    def __init__(self, resize: ResizeWhole, scale: tuple[float, float], strength: Strength) -> None:
        self.resize, self.scale, self.strength = resize, scale, strength
        self.colours = ColourAugment(strength)

    def __call__(
        self, scene: Scene, rng: np.random.Generator, *, room: tuple[int, int] | None = None, factor: float = 1.0
    ) -> Scene:
        """Resizes by `factor` on top, and crops to `room` (h, w); None: the usual size."""
        room = room or resized_size(*scene.size, self.resize.short, self.resize.longest)
        scene = self.resize.scaled(scene, factor * float(np.exp(rng.uniform(*np.log(self.scale)))))
        height, width = (min(pair) for pair in zip(scene.size, room, strict=True))
        top, left = (int(rng.integers(side - crop + 1)) for side, crop in zip(scene.size, (height, width), strict=True))
        scene = scenes.crop_scene(scene, top, left, height, width)
        return scenes.mirror_scene(scene) if self.strength != "none" and rng.random() < 0.5 else scene


class ListedSceneTransforms:
    """The transforms that a recipe lists, applied to image, boxes and masks."""

    def __init__(self, steps: Sequence[dict[str, Any]], key: str) -> None:
        # Boxes carry the number of their row: labels would come back as floats.
        boxes = library().BboxParams("pascal_voc", label_fields=["rows"], min_visibility=MIN_VISIBLE_SHARE, clip=True)
        self.compose = compose(steps, key, bbox_params=boxes, mask_interpolation=cv2.INTER_NEAREST)
        self.key = key

    def __call__(self, scene: Scene, seed: Seed, sample: SceneSampler) -> Scene:
        objects = scene.objects
        shapes = {}
        if objects.masks:
            shapes["masks"] = [to_pixels(mask, *scene.size).astype(np.uint8) for mask in objects.masks]
        copy = scene.image.copy()  # some transforms write in place
        rows = np.arange(len(objects.boxes))
        rng = np.random.default_rng(seed)
        changed = apply(self.compose, rng, image=copy, bboxes=objects.boxes, rows=rows, **shapes)
        image = changed["image"]
        if image.dtype != scene.image.dtype or image.ndim != 3:
            raise RecipeError(
                f"{self.key} turn {scene.image.dtype} images into {image.dtype} of shape {image.shape}; "
                "expected the same dtype, height x width x channels"
            )
        boxes = np.asarray(changed["bboxes"], np.float32).reshape(-1, 4)
        rows = np.asarray(changed["rows"]).round().astype(np.int64)
        return Scene(image, _remaining(objects, rows, boxes, changed.get("masks")))


def _remaining(objects: Objects, rows: np.ndarray, boxes: np.ndarray, pixels: Any) -> Objects:
    """Returns the objects at `rows` with new `boxes`, and masks from `pixels` `[M, H, W]`; None: without masks."""
    _, labels, crowd, area, shapes = objects
    growth = scenes.area(boxes) / scenes.area(objects.boxes[rows])
    if pixels is None:
        remaining = Objects(boxes, labels[rows], crowd[rows], area[rows] * growth, shapes and [])
        return remaining.where(growth > 0)
    masks = [np.asarray(pixels[row], bool) for row in rows]
    counts = np.array([mask.sum() for mask in masks], np.float32)
    remaining = Objects(boxes, labels[rows], crowd[rows], counts, [to_run_lengths(mask) for mask in masks])
    return remaining.where((growth > 0) & (counts > 0))
