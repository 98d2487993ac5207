"""The operations of TrivialAugment and RandAugment, next to torchvision's own, and how they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

from resnet_tl.data.images import operations as ops
from resnet_tl.data.images.operations import LEVELS, MOVING, RANDAUGMENT, SIGNED, WIDE, RandomOperations

Smooth = Callable[..., np.ndarray]
NAMES = {
    "Identity": [ops.unchanged],
    "ShearX": [ops.shear_x],
    "ShearY": [ops.shear_y],
    "TranslateX": [ops.shift_x, ops.shift_x_by_share],
    "TranslateY": [ops.shift_y, ops.shift_y_by_share],
    "Rotate": [ops.rotate],
    "Brightness": [ops.brightness],
    "Color": [ops.colour],
    "Contrast": [ops.contrast],
    "Sharpness": [ops.sharpness],
    "Posterize": [ops.posterize],
    "Solarize": [ops.solarize],
    "AutoContrast": [ops.auto_contrast],
    "Equalize": [ops.equalize],
}
"""torchvision's names."""
ROUNDING = {"Color": 3, "Sharpness": 2, "Contrast": 1, "Brightness": 1, "AutoContrast": 1}
"""Of 255: torchvision cuts off after the point, and computes in fp32."""
THEIRS: dict[str, Any] = {
    "trivial": (WIDE, TrivialAugmentWide()._augmentation_space(LEVELS)),
    "rand": (RANDAUGMENT, RandAugment()._augmentation_space(LEVELS, (60, 80))),
}


def applied_by_torchvision(name: str, magnitude: float, image: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    return _apply_op(tensor, name, magnitude, InterpolationMode.BILINEAR, None).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("space", THEIRS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_does_what_torchvisions_does_at_every_magnitude(
    space: str, name: str, channels: int, smooth: Smooth
) -> None:
    mine, theirs = THEIRS[space]
    [operation] = [each for each in mine if each in NAMES[name]]
    magnitudes, signed = theirs[name]
    assert signed == (operation in SIGNED)
    image = smooth(60, 80, channels)
    image[10:20, 15:40] //= 2  # edges
    for level in range(0, LEVELS, 3):
        magnitude = round(float(magnitudes[level]), 4) if magnitudes.ndim else 0.0  # float32: 15.999999 of 16
        for sign in (1, -1) if signed else (1,):
            changed = operation(image, sign * mine[operation] * level / (LEVELS - 1)).astype(int)
            apart = np.abs(changed - applied_by_torchvision(name, sign * magnitude, image))
            if operation in MOVING:
                assert np.quantile(apart, 0.99) <= 4
                assert apart.mean() < 0.5
            else:
                assert apart.max() <= ROUNDING.get(name, 0)


@pytest.mark.parametrize("space", [WIDE, RANDAUGMENT])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_depth_and_channel_count_is_kept_and_the_image_too(
    space: Any, channels: int, dtype: type, smooth: Smooth
) -> None:
    image = smooth(30, 40, channels, dtype)
    before = image.copy()
    for operation, most in space.items():
        for magnitude in (most, most / 3, *([-most] if operation in SIGNED else [])):
            changed = operation(image, magnitude)
            assert (changed.dtype, changed.shape) == (dtype, image.shape), operation
    np.testing.assert_array_equal(image, before)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([each for each in WIDE if each not in MOVING]), st.integers(0, 30), st.integers(0, 2**32))
def test_16_bits_are_changed_as_8_bits_are(operation: Any, level: int, seed: int) -> None:
    """`image * 257` is the same image in 16 bits. (`equalize` asks for more pixels than there are values.)"""
    image = np.random.default_rng(seed).integers(0, 256, (12, 14, 3), np.uint8)
    magnitude = WIDE[operation] * level / 30
    if operation in (ops.equalize, ops.posterize):
        return
    large = operation(image * np.uint16(257), magnitude) / 257
    assert np.abs(large - operation(image, magnitude)).max() <= 2


def test_trivialaugment_draws_operation_magnitude_and_direction_uniformly() -> None:
    drawn: Counter[tuple[str, float]] = Counter()

    def recorded(name: str) -> Any:
        def operation(image: np.ndarray, magnitude: float) -> np.ndarray:
            drawn[name, round(magnitude * 30)] += 1
            return image

        return operation

    space = {recorded(name): 1.0 for name in "ab"}
    draw, rng = RandomOperations(space, 1, None), np.random.default_rng(0)
    for _ in range(6200):
        draw(np.zeros((2, 2, 3), np.uint8), rng)
    assert set(drawn) == {(name, level) for name in "ab" for level in range(31)}
    assert all(60 < times < 145 for times in drawn.values())  # of 100


def test_randaugment_applies_two_of_magnitude_nine() -> None:
    seen = []

    def operation(image: np.ndarray, magnitude: float) -> np.ndarray:
        seen.append(magnitude)
        return image

    RandomOperations({operation: 30.0}, 2, 9)(np.zeros((2, 2, 3), np.uint8), np.random.default_rng(0))
    assert seen == [9, 9]


def test_directions_are_drawn_both_ways(smooth: Smooth) -> None:
    image, policy = smooth(), RandomOperations({ops.shift_x: 32}, 1, 15)
    views = {policy(image, np.random.default_rng(seed)).tobytes() for seed in range(12)}
    assert views == {ops.shift_x(image, pixels).tobytes() for pixels in (-16, 16)}


def test_in_place_keeps_every_pixel_where_it_is() -> None:
    """The halves of an image stay two flat areas; sharpening them changes the pixels at their border."""
    image = np.full((32, 40, 3), (60, 80, 40), np.uint8)
    image[:, 20:] = (190, 150, 220)
    for space, count, level in ((WIDE, 1, None), (RANDAUGMENT, 2, 9)):
        policy = RandomOperations(space, count, level, in_place=True)
        assert len(policy.operations) == 9
        for seed in range(60):
            changed = policy(image, np.random.default_rng(seed))
            assert changed[:, :17].std((0, 1)).max() == 0
            assert changed[:, 23:].std((0, 1)).max() == 0
