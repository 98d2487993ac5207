"""The transforms of training presets and of evaluation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.images.transforms import evaluation_transform, training_transform
from resnet_tl.errors import RecipeError

Smooth = Callable[..., np.ndarray]
STRENGTHS = ["none", "light", "medium", "strong", "trivial", "rand"]
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


# Presets


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(STRENGTHS), st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 2**64 - 1))
def test_an_image_is_a_function_of_its_seed(strength: Any, seed: int, epoch: int, key: int) -> None:
    first, second = (training_transform(strength, 24) for _ in range(2))
    second(IMAGE, (48, 64), (9, 9, 9, 9))  # earlier draws change nothing
    seeds = (seed, epoch, key, 0)
    np.testing.assert_array_equal(first(IMAGE, (48, 64), seeds), second(IMAGE, (48, 64), seeds))


@pytest.mark.parametrize("strength", STRENGTHS[1:])
@pytest.mark.parametrize("part", range(4))
def test_seed_epoch_key_and_repeat_each_change_the_image(strength: Any, part: int) -> None:
    transform = training_transform(strength, 24)
    seeds = [tuple(value if i == part else 1 for i in range(4)) for value in range(10)]
    assert len({transform(IMAGE, (48, 64), seed).tobytes() for seed in seeds}) >= 9


@pytest.mark.parametrize("strength", STRENGTHS[1:])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(32, 32), (80, 50)])
def test_every_dtype_and_channel_count_is_kept(
    strength: Any, channels: int, dtype: type, size: tuple[int, int], smooth: Smooth
) -> None:
    image = smooth(*size, channels=channels, dtype=dtype)
    before, transform, brightest = image.copy(), training_transform(strength, 32, erase=0.5), 0
    for key in range(20):
        views = transform(image, size, (0, 0, key, 0))
        assert (views.dtype, views.shape) == (dtype, (1, 32, 32, channels))
        brightest = max(brightest, int(views.max()))
    assert brightest > np.iinfo(dtype).max // 2  # 16 bits are used
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("strength", ["none", "light", "medium"])
@pytest.mark.parametrize("factor", [2, 4])
def test_a_smaller_copy_shows_the_same_part(strength: Any, factor: int, smooth: Smooth) -> None:
    large = smooth(512, 640)
    small = cv2.resize(large, (640 // factor, 512 // factor), interpolation=cv2.INTER_AREA)
    transform = training_transform(strength, 32)
    for key in range(10):
        first, second = (transform(each, (512, 640), (0, 0, key, 0)).astype(int) for each in (large, small))
        assert np.abs(first - second).mean() < 3


def test_a_reduction_leaves_the_crop_its_pixels() -> None:
    transform = training_transform("light", 64)
    factors = [transform.reduction((600, 800), (0, 0, key, 0)) for key in range(200)]
    assert set(factors) == {4, 8}
    assert evaluation_transform(64, 1.0).reduction((600, 800), (0,)) == 8
    assert evaluation_transform(64, 1.0).reduction((500, 800), (0,)) == 4


def test_none_gives_the_same_centre_in_every_epoch(smooth: Smooth) -> None:
    image = smooth(64, 96)
    first, second = (training_transform("none", 32)(image, (64, 96), (0, epoch, 0, 0)) for epoch in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, evaluation_transform(32, 1.0)(image, (64, 96), (0,)))


# Evaluation


@pytest.mark.parametrize(("crop", "short"), [(0.875, 256), (0.95, 235), (1.0, 224)])
def test_the_short_side_is_the_size_divided_by_the_crop(crop: float, short: int, smooth: Smooth) -> None:
    image = smooth(400, 500)
    [wide] = evaluation_transform(224, crop)(image, (400, 500), (0,))
    [exact] = evaluation_transform(224, scales=[short])(image, (400, 500), (0,))
    np.testing.assert_array_equal(wide, exact)


def test_a_32_pixel_image_at_crop_1_is_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(evaluation_transform(32, 1.0)(image, (32, 32), (0,))[0], image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop": 0.0}, "data.crop"),
        ({"crop": 1.5}, "data.crop"),
        ({"crops": 5}, "expected 1 or 10"),
        ({"scales": [64, 16]}, "a short side of 16"),
    ],
)
def test_impossible_views_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        evaluation_transform(32, **options)


def test_an_unknown_strength_is_refused() -> None:
    with pytest.raises(RecipeError, match="did you mean 'medium'"):
        training_transform("medum", 32)  # type: ignore[arg-type]


def test_importing_contacts_no_server() -> None:
    code = """
import socket, sys, urllib.request
def contacted(*args, **kwargs): print("contacted", args[:1]); raise OSError("no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = urllib.request.urlopen = contacted
from resnet_tl.data.images.augment import ColourAugment
before = "albumentations" in sys.modules  # it takes a second, and much needs none of it
ColourAugment("strong")
print("imported", before, "albumentations" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "imported False True\n"
