from __future__ import annotations

import numpy as np
import pytest

from benchmarks.corruptions import KINDS, corrupted, plasma

SEVERITIES = {"elastic": (3, 5), "glass_blur": (1, 5)}
"""Where constants rise together: elastic's first two are of another kind, and glass's third has the most rounds."""


def image(side: int = 224) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    return np.stack([x, y, np.sin(9 * x * y) ** 2], -1).astype(np.float32) * 0.8 + 0.1


@pytest.mark.parametrize("kind", list(KINDS))
def test_higher_severities_change_an_image_more(kind: str) -> None:
    severities = SEVERITIES.get(kind, (1, 3, 5))
    changes = [float(np.abs(corrupted(image(), kind, severity, 0) - image()).mean()) for severity in severities]
    assert changes == sorted(changes)
    assert changes[0] > 1e-4


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_seed_gives_the_same_image_in_its_shape(kind: str) -> None:
    first, again, other = (corrupted(image(64), kind, 3, seed) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert first.shape == (64, 64, 3)
    random = {"gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "fog", "elastic"}
    assert np.array_equal(first, other) == (kind not in random)


def test_noise_has_the_published_scale() -> None:
    grey = np.full((200, 200, 3), 0.5, np.float32)
    assert corrupted(grey, "gaussian_noise", 1, 0).std() == pytest.approx(0.08, rel=0.02)
    assert corrupted(grey, "shot_noise", 1, 0).std() == pytest.approx((0.5 / 60) ** 0.5, rel=0.02)
    assert (corrupted(grey, "impulse_noise", 5, 0) != 0.5).mean() == pytest.approx(0.27, abs=0.01)


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "zoom_blur", "elastic"])
def test_blurs_and_warps_leave_one_colour_as_it_is(kind: str) -> None:
    grey = np.full((96, 96, 3), 0.5, np.float32)
    assert np.abs(corrupted(grey, kind, 3, 0)[24:-24, 24:-24] - 0.5).max() < 1e-3


def test_motion_is_blurred_along_one_line() -> None:
    dot = np.zeros((81, 81, 3), np.float32)
    dot[40, 40] = 1
    rows, columns = np.nonzero(corrupted(dot, "motion_blur", 1, 3)[..., 0] > 1e-5)
    assert 10 < len(rows) <= 21
    slope = np.polyfit(columns, rows, 1)
    assert np.abs(np.polyval(slope, columns) - rows).max() < 1
    assert abs(slope[0]) <= 1


def test_a_zoom_keeps_the_middle() -> None:
    dot = np.zeros((81, 81, 3), np.float32)
    dot[37:44, 37:44] = 1
    assert corrupted(dot, "zoom_blur", 5, 0)[40, 40, 0] == pytest.approx(1)


def test_clouds_fill_the_range_and_are_rougher_where_heights_fall_less() -> None:
    smooth, rough = (plasma(224, decay, np.random.default_rng(0)) for decay in (3.0, 1.4))
    assert smooth.shape == (224, 224)
    assert 0 <= smooth.min() <= smooth.max() <= 1
    assert np.abs(np.diff(rough)).mean() > 2 * np.abs(np.diff(smooth)).mean()
