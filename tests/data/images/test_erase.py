"""Random erasing: where and how much, the same on a device, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.images.deferred import defer
from resnet_tl.data.images.device_colours import change_colours
from resnet_tl.data.images.erase import RandomErasing

GREY = np.full((64, 80, 3), 128, np.uint8)


def hole_of(image: np.ndarray, erased: np.ndarray) -> tuple[slice, slice] | None:
    """Returns the rows and columns in which they differ."""
    changed = (image != erased).any(2)
    if not changed.any():
        return None
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def test_a_rectangle_of_allowed_area_and_aspect_is_filled_with_noise() -> None:
    areas, aspects = [], []
    for seed in range(300):
        erased = RandomErasing(1.0)(GREY, np.random.default_rng(seed))
        hole = hole_of(GREY, erased)
        assert hole is not None
        height, width, _ = erased[hole].shape
        areas.append(height * width / (64 * 80))
        aspects.append(width / height)
        if height * width > 300:
            assert abs(erased[hole].mean() - 127.5) < 12  # uniform noise: mean 127.5, deviation 73.9
            assert abs(erased[hole].std() - 73.9) < 8
    assert (min(areas), max(areas)) == (pytest.approx(0.02, abs=0.006), pytest.approx(0.33, abs=0.03))
    assert (min(aspects), max(aspects)) == (pytest.approx(0.3, rel=0.2), pytest.approx(3.3, rel=0.2))
    assert (GREY == 128).all()


def test_as_many_images_as_its_probability_says() -> None:
    times = sum(
        hole_of(GREY, RandomErasing(0.3)(GREY, np.random.default_rng(seed))) is not None for seed in range(1000)
    )
    assert 250 < times < 350


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 5]),
    st.sampled_from(["uint8", "uint16"]),
    st.integers(0, 2**32),
)
def test_any_image_keeps_shape_and_depth(height: int, width: int, channels: int, dtype: str, seed: int) -> None:
    image = np.zeros((height, width, channels), dtype)
    erased = RandomErasing(1.0)(image, np.random.default_rng(seed))
    assert (erased.shape, erased.dtype) == (image.shape, image.dtype)


def test_a_device_erases_the_same_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    for seed in range(10):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        here = RandomErasing(0.7)(image, one)
        deferred = RandomErasing(0.7)(defer(image, "a.png"), other)
        there = change_colours(torch.from_numpy(image).permute(2, 0, 1)[None], [deferred.colours])  # type: ignore[attr-defined]
        np.testing.assert_array_equal(there[0].permute(1, 2, 0).numpy(), here)
        assert one.bit_generator.state == other.bit_generator.state
