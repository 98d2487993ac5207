"""Resizing, compared with Pillow's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.resize import Interpolation, resize, resize_short

Smooth = Callable[..., np.ndarray]
FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(256, 341), (48, 31), (400, 600), (375, 250)])
def test_8_bits_are_as_pillow_resizes_them(interpolation: Interpolation, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)  # the hardest: no two pixels alike
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], FILTERS[interpolation])).astype(int)
    apart = np.abs(resize(image, *size, interpolation) - expected)
    assert (apart > 0).mean() < (0.05 if interpolation == "nearest" else 0.01)  # nearest: one column, a tie
    assert apart.max() <= 2 or interpolation == "nearest"


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_16_bits_and_any_channels_keep_their_values(
    channels: int, interpolation: Interpolation, smooth: Smooth
) -> None:
    deep = smooth(90, 120, channels=channels, dtype=np.uint16)
    small = resize(deep, 30, 44, interpolation)
    assert (small.dtype, small.shape) == (np.uint16, (30, 44, channels))
    shallow = resize((deep >> 8).astype(np.uint8), 30, 44, interpolation)
    assert np.abs(small / 257 - shallow).max() < 2


def test_bicubic_overshoots_are_clipped() -> None:
    edge = np.zeros((40, 40, 1), np.uint16)
    edge[:, 20:] = 65535
    assert set(np.unique(resize(edge, 40, 90, "bicubic")[:, :20])) == {0}


def test_a_view_of_an_image_is_resized_like_its_copy(smooth: Smooth) -> None:
    part = smooth(80, 90)[3:60, 5:88]
    result = resize(part, 32, 40)
    np.testing.assert_array_equal(result, resize(part.copy(), 32, 40))
    assert result.flags.c_contiguous


@pytest.mark.parametrize(
    ("size", "expected"), [((375, 500), (256, 341)), ((500, 375), (341, 256)), ((30, 30), (256, 256))]
)
def test_the_short_side_is_reached_and_the_long_one_rounded_down(
    size: tuple[int, int], expected: tuple[int, int], smooth: Smooth
) -> None:
    assert resize_short(smooth(*size), 256).shape[:2] == expected


def test_an_image_of_the_right_size_is_untouched(smooth: Smooth) -> None:
    image = smooth(32, 32)
    assert resize_short(image, 32) is image
