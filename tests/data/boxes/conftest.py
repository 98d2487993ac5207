"""Drawn scenes, whose objects are distinguished by their grey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from resnet_tl.data.boxes.scenes import Scene, area
from resnet_tl.data.listings.objects import Objects
from resnet_tl.structures.masks import Mask, to_pixels, to_run_lengths


@pytest.fixture(scope="session")
def draw_scene() -> Callable[..., Scene]:
    return _draw_scene


@pytest.fixture(scope="session")
def check_colours() -> Callable[..., None]:
    return _check_colours


FIRST = 40
"""The grey of the first object; the next ones are lighter by 20."""


def _draw_scene(height: int = 48, width: int = 64, count: int = 3, seed: int = 0, *, first: int = FIRST) -> Scene:
    """A black image with objects in different greys, far apart, alternately polygons and run lengths."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    boxes, shapes = [], []
    for number in range(count):
        left, right = number * width // count + 1, (number + 1) * width // count - 1
        top, bottom = sorted(rng.choice(np.arange(1, height - 1), 2, replace=False))
        bottom = max(bottom, top + 4)
        image[top:bottom, left:right] = first + 20 * number
        boxes.append([left, top, right, min(bottom, height)])
        shapes.append(_shape(boxes[-1], height, width, polygon=number % 2 == 0))
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Scene(image, Objects(corners, np.arange(count), np.zeros(count, bool), area(corners), shapes))


def _shape(box: list[int], height: int, width: int, *, polygon: bool) -> Mask:
    left, top, right, bottom = box
    if polygon:
        return [np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)]
    pixels = np.zeros((height, width), bool)
    pixels[top:bottom, left:right] = True
    return to_run_lengths(pixels)


def _check_colours(scene: Scene, first: int = FIRST, *, edge: int = 2) -> None:
    """Checks that masks cover the pixels of their object's grey and boxes enclose them, up to `edge` pixels."""
    objects = scene.objects
    assert objects.masks is not None
    height, width = scene.size
    for box, label, mask in zip(objects.boxes, objects.labels.tolist(), objects.masks, strict=True):
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height
        pixels = to_pixels(mask, height, width)
        visible = np.abs(scene.image[..., 0].astype(int) - (first + 20 * label)) < 5
        inner = _eroded(pixels, edge)
        assert visible[inner].all()
        rows, columns = np.nonzero(pixels)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(box - tight).max() <= edge


def _eroded(pixels: np.ndarray, by: int) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(pixels, 1)
        pixels = padded[1:-1, 1:-1] & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return pixels
