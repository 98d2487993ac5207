"""Views compared with torchvision's, and random areas with their definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms as T

from resnet_tl.data.images.crops import Views, random_area, reduction

Smooth = Callable[..., np.ndarray]
SEED = (0, 0, 0, 0)


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (224, 224), (57, 99), (301, 256)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_centre_equals_torchvisions(
    size: tuple[int, int], interpolation: Literal["bilinear", "bicubic"], smooth: Smooth
) -> None:
    image = smooth(*size)
    theirs = T.Compose([T.Resize(256, T.InterpolationMode(interpolation)), T.CenterCrop(224)])
    [view] = Views(224, (256,), interpolation)(image, size, SEED)
    assert np.abs(view - np.asarray(theirs(Image.fromarray(image))).astype(int)).max() <= 2


def test_ten_crops_at_two_scales_equal_torchvisions(smooth: Smooth) -> None:
    image = smooth(90, 131)
    views = Views(48, (64, 80), crops=10)(image, (90, 131), SEED)
    assert views.shape == (20, 48, 48, 3)
    expected = [
        np.asarray(crop) for short in (64, 80) for crop in T.TenCrop(48)(T.Resize(short)(Image.fromarray(image)))
    ]
    assert np.abs(views - np.stack(expected).astype(int)).max() <= 2


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.floats(0.05, 1), st.integers(0, 2**32))
def test_a_random_area_is_inside_and_has_its_share_and_aspect_ratio(
    height: int, width: int, smallest: float, seed: int
) -> None:
    top, left, h, w = random_area(height, width, (smallest, 1.0), np.random.default_rng(seed))
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert h >= 1
    assert w >= 1
    if (
        min(h, w) > 20 and 3 / 4 <= width / height <= 4 / 3
    ):  # no rounding to speak of, and a try that fits in all likelihood
        assert smallest - 0.1 <= h * w / (height * width) <= 1
        assert 0.7 <= w / h <= 1.43


def test_random_areas_are_spread_over_the_image() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_area(300, 400, (0.35, 1.0), rng) for _ in range(2000)])
    share = drawn[:, 2] * drawn[:, 3] / (300 * 400)
    assert 0.345 <= share.min() < 0.37
    assert share.max() > 0.95
    centre = drawn[:, :2] + drawn[:, 2:] / 2
    assert np.abs(centre.mean(axis=0) - (150, 200)).max() < 5


@pytest.mark.parametrize(
    ("have", "need", "factor"), [(2000, 224, 8), (1000, 224, 4), (448, 224, 2), (447, 224, 1), (9, 224, 1)]
)
def test_a_reduction_never_goes_below_what_is_needed(have: int, need: int, factor: int) -> None:
    assert reduction(have, need) == factor


@pytest.mark.parametrize("size", [(60, 90), (91, 64), (48, 48)])
def test_the_centre_crop_is_where_it_says(size: tuple[int, int]) -> None:
    views = Views(32, (40,))
    rows, columns = (each / max(size) * 60000 for each in np.mgrid[: size[0], : size[1]])
    image = np.stack([rows, columns, columns], 2).astype(np.uint16)  # planes: resizing keeps their values
    x1, y1, x2, y2 = views.centre(*size)
    view = views(image, size, (0,))[0] / 60000 * max(size)
    cell = (x2 - x1) / 32
    assert view[0, 0, 1] == pytest.approx(x1 + cell / 2 - 0.5, abs=0.1)
    assert view[-1, -1, 1] == pytest.approx(x2 - cell / 2 - 0.5, abs=0.1)
    assert view[0, 0, 0] == pytest.approx(y1 + (y2 - y1) / 64 - 0.5, abs=0.1)
