"""Images and what is in them, changed together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resnet_tl.data.images import crops
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.resize import Interpolation, resize, resize_fast
from resnet_tl.data.listings.objects import Objects
from resnet_tl.structures import masks
from resnet_tl.structures.masks import Mask

MIN_VISIBLE_SHARE = 0.1
"""An object of whose box less than this share is left is left out: nobody could say what it is."""


class Scene(NamedTuple):
    """image `[H, W, C]`, and its objects in its pixels."""

    image: ImageArray
    objects: Objects

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


def resized(
    scene: Scene, size: tuple[int, int], interpolation: Interpolation = "bilinear", *, fast: bool = False
) -> Scene:
    """To (h, w). fast: see `resize_fast`, for training."""
    if scene.size == size:
        return scene
    image = (resize_fast if fast else resize)(scene.image, *size, interpolation)
    down, right = size[0] / scene.size[0], size[1] / scene.size[1]
    boxes, labels, crowd, area, shapes = scene.objects
    boxes = boxes * np.array([right, down, right, down], np.float32)
    if shapes is not None:
        shapes = [masks.resize(mask, scene.size, size) for mask in shapes]
    return Scene(image, Objects(clipped(boxes, size), labels, crowd, area * np.float32(down * right), shapes))


def mirrored(scene: Scene) -> Scene:
    """Left and right exchanged."""
    boxes, labels, crowd, area, shapes = scene.objects
    boxes = boxes.copy()
    boxes[:, [2, 0]] = scene.size[1] - boxes[:, [0, 2]]
    if shapes is not None:
        shapes = [masks.orient(mask, scene.size, 2) for mask in shapes]
    return Scene(crops.mirrored(scene.image), Objects(boxes, labels, crowd, area, shapes))


def cut(scene: Scene, top: int, left: int, height: int, width: int) -> Scene:
    """That part of it; objects of which too little is left are left out."""
    if (top, left, height, width) == (0, 0, *scene.size):
        return scene
    image = scene.image[top : top + height, left : left + width]
    before, labels, crowd, areas, shapes = scene.objects
    boxes = clipped(before - np.array([left, top, left, top], np.float32), (height, width))
    share = area(boxes) / area(before)
    if shapes is not None:
        shapes = [masks.crop(mask, scene.size, (top, left, height, width)) for mask in shapes]
        for index in np.flatnonzero((share > 0) & (share < 1)):
            boxes[index], share[index] = _within(boxes[index], shapes[index], scene.objects.masks[index])  # type: ignore[index]
    return Scene(image, Objects(boxes, labels, crowd, areas * share, shapes).where(share >= MIN_VISIBLE_SHARE))


def placed(scene: Scene, at: tuple[int, int], canvas: tuple[int, int]) -> Objects:
    """The objects as they lie when the image is laid on a canvas (h, w), its corner `at` (top, left)."""
    boxes, labels, crowd, area, shapes = scene.objects
    if shapes is not None:
        shapes = [masks.place(mask, scene.size, at, canvas) for mask in shapes]
    return Objects(boxes + np.array([at[1], at[0]] * 2, np.float32), labels, crowd, area, shapes)


def _within(box: np.ndarray, part: Mask, whole: Mask) -> tuple[np.ndarray, float]:
    """The box as far as it is around what was cut from a mask, and how much of the mask that is."""
    share = masks.area(part) / max(masks.area(whole), 1e-6)
    if share == 0:
        return box, 0.0
    inner = masks.bounds(part)
    tight = np.concatenate([np.maximum(box[:2], inner[:2]), np.minimum(box[2:], inner[2:])])
    return (tight, share) if (tight[2:] > tight[:2]).all() else (box, 0.0)


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes `[M, 4]` cut off at the edges of an image of `size` (h, w)."""
    return boxes.clip(0, np.array([size[1], size[0]] * 2, boxes.dtype))


def area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
