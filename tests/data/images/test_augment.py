"""Where the presets cut an image, and which of its pixels `ColourAugment` moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from resnet_tl.data.images.augment import ColourAugment
from resnet_tl.data.images.transforms import training_transform

Smooth = Callable[..., np.ndarray]


def test_a_small_image_is_shifted_by_up_to_an_eighth_and_mirrored(smooth: Smooth) -> None:
    image = smooth(32, 32)
    padded = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REFLECT_101)
    windows = {
        window[:, ::step].tobytes(): (top, left, step)
        for top in range(9)
        for left in range(9)
        for window in [padded[top : top + 32, left : left + 32]]
        for step in (1, -1)
    }
    transform = training_transform("light", 32)
    seen = [windows[transform(image, (32, 32), (0, 0, key, 0)).tobytes()] for key in range(1500)]
    assert len(set(seen)) == 9 * 9 * 2
    assert 650 < sum(step == 1 for _, _, step in seen) < 850


@pytest.mark.parametrize("size", [(32, 32), (36, 40), (27, 30)])
def test_images_near_the_size_are_shifted_and_not_cropped(size: tuple[int, int]) -> None:
    """A bright frame: a shift keeps most of it in sight, a random area of a large image seldom does."""
    flat = np.full((*size, 3), 100, np.uint8)
    assert (training_transform("light", 32)(flat, size, (0, 0, 0, 0)) == 100).all()
    assert training_transform("light", 32).reduction(size, (0, 0, 0, 0)) == 1


def test_a_large_image_is_cropped_at_random(smooth: Smooth) -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3)).copy()
    spans = []
    for key in range(300):
        [view] = training_transform("light", 32)(ramp, (200, 200), (0, 0, key, 0))
        spans.append(int(view[..., 0].max()) - int(view[..., 0].min()))
    assert min(spans) < 120  # sqrt(0.35 / (4 / 3)) of 200 is 102
    assert min(spans) > 90
    assert max(spans) > 185


@pytest.mark.parametrize("strength", ["none", "light", "medium", "strong", "trivial", "rand"])
def test_colour_changes_move_no_edge(strength: Any) -> None:
    image = np.full((32, 40, 3), 60, np.uint8)
    image[:, 20:] = 190
    augment = ColourAugment(strength)
    for seed in range(50):
        changed = augment(image, np.random.default_rng(seed)).astype(int)
        assert changed.shape == image.shape
        if strength not in ("trivial", "rand"):  # which invert
            assert (changed[:, :16].mean((0, 1)) < changed[:, 24:].mean((0, 1))).all()
        assert changed[:, :16].std((0, 1)).max() == 0
        assert changed[:, 24:].std((0, 1)).max() == 0


def test_none_and_light_leave_colours_alone(smooth: Smooth) -> None:
    image = smooth(20, 30)
    for strength in ("none", "light"):
        np.testing.assert_array_equal(ColourAugment(strength)(image, np.random.default_rng(0)), image)  # type: ignore[arg-type]
