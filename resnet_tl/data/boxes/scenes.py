"""Images and their objects, transformed together."""

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
"""An object is removed when less than this share of it remains: it would hardly be recognisable."""


class Scene(NamedTuple):
    """image `[H, W, C]`, and its objects in its pixels."""

    image: ImageArray
    objects: Objects

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


def resize_scene(
    scene: Scene, size: tuple[int, int], interpolation: Interpolation = "bilinear", *, fast: bool = False
) -> Scene:
    """Resizes to (h, w). fast: by `resize_fast`, for training."""
    if scene.size == size:
        return scene
    image = (resize_fast if fast else resize)(scene.image, *size, interpolation)
    down, right = size[0] / scene.size[0], size[1] / scene.size[1]
    boxes, labels, crowd, area, shapes = scene.objects
    boxes = boxes * np.array([right, down, right, down], np.float32)
    if shapes is not None:
        shapes = [masks.resize(mask, scene.size, size) for mask in shapes]
    return Scene(image, Objects(clip(boxes, size), labels, crowd, area * np.float32(down * right), shapes))


def mirror_scene(scene: Scene) -> Scene:
    """Swaps left and right."""
    boxes, labels, crowd, area, shapes = scene.objects
    boxes = boxes.copy()
    boxes[:, [2, 0]] = scene.size[1] - boxes[:, [0, 2]]
    if shapes is not None:
        shapes = [masks.orient(mask, scene.size, 2) for mask in shapes]
    return Scene(crops.mirror(scene.image), Objects(boxes, labels, crowd, area, shapes))


def crop_scene(scene: Scene, top: int, left: int, height: int, width: int) -> Scene:
    """Crops the image and its objects; removes objects of which less than `MIN_VISIBLE_SHARE` remains."""
    if (top, left, height, width) == (0, 0, *scene.size):
        return scene
    image = scene.image[top : top + height, left : left + width]
    before, labels, crowd, areas, shapes = scene.objects
    boxes = clip(before - np.array([left, top, left, top], np.float32), (height, width))
    share = area(boxes) / area(before)
    if shapes is not None:
        shapes = [masks.crop(mask, scene.size, (top, left, height, width)) for mask in shapes]
        wholes = scene.objects.masks or []
        for index in np.flatnonzero((share > 0) & (share < 1)):
            boxes[index], share[index] = _tightened(boxes[index], shapes[index], wholes[index])
    return Scene(image, Objects(boxes, labels, crowd, areas * share, shapes).where(share >= MIN_VISIBLE_SHARE))


def place_objects(scene: Scene, at: tuple[int, int], canvas: tuple[int, int]) -> Objects:
    """Returns the objects in pixels of a canvas (h, w), on which the image is placed `at` (top, left)."""
    boxes, labels, crowd, area, shapes = scene.objects
    if shapes is not None:
        shapes = [masks.place(mask, scene.size, at, canvas) for mask in shapes]
    return Objects(boxes + np.array([at[1], at[0]] * 2, np.float32), labels, crowd, area, shapes)


def _tightened(box: np.ndarray, cropped: Mask, whole: Mask) -> tuple[np.ndarray, float]:
    """Returns the box shrunk to the cropped mask, and the share of the whole mask that remains."""
    share = masks.area(cropped) / max(masks.area(whole), 1e-6)
    if share == 0:
        return box, 0.0
    inner = masks.bounds(cropped)
    tight = np.concatenate([np.maximum(box[:2], inner[:2]), np.minimum(box[2:], inner[2:])])
    return (tight, share) if (tight[2:] > tight[:2]).all() else (box, 0.0)


def clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clips boxes `[M, 4]` to an image of `size` (h, w)."""
    return boxes.clip(0, np.array([size[1], size[0]] * 2, boxes.dtype))


def area(boxes: np.ndarray) -> np.ndarray:
    """Returns the area of boxes `[M, 4]`: `[M]`."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
