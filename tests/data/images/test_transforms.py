"""Training presets, evaluation, and the pipelines that a recipe lists."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.transforms import evaluation_transform, training_transform
from resnet_tl.errors import RecipeError

Smooth = Callable[..., np.ndarray]
STRENGTHS = ["none", "light", "medium", "strong"]
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


class Counting(A.ImageOnlyTransform):
    """A transform of one's own, as a recipe may name it: brightens by `by`."""

    def __init__(self, by: int = 1, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.by = by

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return img + self.by


# Presets


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(STRENGTHS), st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 2**64 - 1))
def test_an_image_is_a_function_of_its_seed(strength: Any, seed: int, epoch: int, key: int) -> None:
    first, second = (training_transform(strength, 24) for _ in range(2))
    second(IMAGE, (48, 64), (9, 9, 9, 9))  # what was drawn before changes nothing
    seeds = (seed, epoch, key, 0)
    np.testing.assert_array_equal(first(IMAGE, (48, 64), seeds), second(IMAGE, (48, 64), seeds))


@pytest.mark.parametrize("strength", STRENGTHS[1:])
@pytest.mark.parametrize("part", range(4))
def test_seed_epoch_key_and_repeat_each_change_it(strength: Any, part: int) -> None:
    transform = training_transform(strength, 24)
    seeds = [tuple(value if i == part else 1 for i in range(4)) for value in range(10)]
    assert len({transform(IMAGE, (48, 64), seed).tobytes() for seed in seeds}) >= 9


def test_draws_of_different_transforms_are_independent() -> None:
    """albumentations' own seeding starts each transform of a pipeline at the same state."""
    steps = [{"class_path": name, "init_args": {"p": 0.5}} for name in ("HorizontalFlip", "VerticalFlip")]
    corner = np.zeros((2, 2, 1), np.uint8)
    corner[0, 0] = 1
    where = [int(ListedTransforms(steps)(corner, (2, 2), (0, 0, key, 0)).argmax()) for key in range(400)]
    assert all(70 <= count <= 130 for count in np.bincount(where, minlength=4))


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(32, 32), (80, 50)])
def test_every_kind_of_image_keeps_its_kind(
    strength: Any, channels: int, dtype: type, size: tuple[int, int], smooth: Smooth
) -> None:
    image = smooth(*size, channels=channels, dtype=dtype)
    before, transform = image.copy(), training_transform(strength, 32)
    for key in range(20):
        views = transform(image, size, (0, 0, key, 0))
        assert (views.dtype, views.shape) == (dtype, (1, 32, 32, channels))
        assert views.max() > np.iinfo(dtype).max // 8  # 16 bits are used
    np.testing.assert_array_equal(image, before)


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
def test_which_images_are_about_the_size_already(size: tuple[int, int]) -> None:
    """A bright frame: a shift keeps most of it in sight, a random area of a large image seldom does."""
    flat = np.full((*size, 3), 100, np.uint8)
    assert (training_transform("light", 32)(flat, size, (0, 0, 0, 0)) == 100).all()
    assert training_transform("light", 32).reduction(size, (0, 0, 0, 0)) == 1


def test_a_large_image_is_cut_at_random(smooth: Smooth) -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3)).copy()
    spans = []
    for key in range(300):
        [view] = training_transform("light", 32)(ramp, (200, 200), (0, 0, key, 0))
        spans.append(int(view[..., 0].max()) - int(view[..., 0].min()))
    assert min(spans) < 120  # sqrt(0.35 / (4 / 3)) of 200 is 102
    assert min(spans) > 90
    assert max(spans) > 185


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("factor", [2, 4])
def test_a_smaller_copy_shows_the_same_part(strength: Any, factor: int, smooth: Smooth) -> None:
    large = smooth(512, 640)
    small = cv2.resize(large, (640 // factor, 512 // factor), interpolation=cv2.INTER_AREA)
    transform = training_transform(strength, 32) if strength != "strong" else training_transform("light", 32)
    for key in range(10):
        first, second = (transform(each, (512, 640), (0, 0, key, 0)).astype(int) for each in (large, small))
        assert np.abs(first - second).mean() < 3


def test_a_reduction_leaves_the_crop_its_pixels() -> None:
    transform = training_transform("light", 64)
    factors = [transform.reduction((600, 800), (0, 0, key, 0)) for key in range(200)]
    assert set(factors) == {4, 8}
    assert evaluation_transform(64, 1.0).reduction((600, 800), (0,)) == 8
    assert evaluation_transform(64, 1.0).reduction((500, 800), (0,)) == 4


def test_none_shows_the_centre_in_every_epoch(smooth: Smooth) -> None:
    image = smooth(64, 96)
    first, second = (training_transform("none", 32)(image, (64, 96), (0, epoch, 0, 0)) for epoch in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, evaluation_transform(32, 1.0)(image, (64, 96), (0,)))


# Evaluation


@pytest.mark.parametrize(("crop", "short"), [(0.875, 256), (0.95, 235), (1.0, 224)])
def test_the_short_side_is_the_size_by_the_crop(crop: float, short: int, smooth: Smooth) -> None:
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
def test_impossible_views_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        evaluation_transform(32, **options)


def test_an_unknown_strength_is_told() -> None:
    with pytest.raises(RecipeError, match="did you mean 'medium'"):
        training_transform("medum", 32)  # type: ignore[arg-type]


# Pipelines of a recipe


def test_a_listed_pipeline_runs_as_listed() -> None:
    steps = [
        {"class_path": "Resize", "init_args": {"height": 20, "width": 24}},
        {
            "class_path": "OneOf",
            "init_args": {"transforms": [{"class_path": "VerticalFlip", "init_args": {"p": 1}}], "p": 1},
        },
    ]
    expected = cv2.resize(IMAGE, (24, 20), interpolation=cv2.INTER_LINEAR)[::-1]
    np.testing.assert_array_equal(ListedTransforms(steps)(IMAGE, (48, 64), (0, 0, 0, 0))[0], expected)


def test_a_transform_of_ones_own_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_transforms", sys.modules[__name__])
    steps = [{"class_path": "my_transforms.Counting", "init_args": {"by": 3}}]
    np.testing.assert_array_equal(ListedTransforms(steps)(IMAGE // 2, (48, 64), (0,))[0], IMAGE // 2 + 3)


def test_nothing_writes_into_the_image_that_came_in() -> None:
    before = IMAGE.copy()
    steps = [
        {"class_path": name, "init_args": {"p": 1}}
        for name in ("CoarseDropout", "RandomBrightnessContrast", "GridDropout")
    ]
    for key in range(5):
        ListedTransforms(steps)(IMAGE, (48, 64), (0, 0, key, 0))
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            {"class_path": "HorizontalFlp"},
            "'HorizontalFlp' is not a transform of albumentations; did you mean 'HorizontalFlip'",
        ),
        ({"class_path": "HorizontalFlip", "init_args": {"prob": 1}}, "no argument 'prob'; it takes p"),
        ({"class_path": "CoarseDropout", "init_args": {"max_holes": 8}}, "did you mean 'num_holes_range'"),
        ({"class_path": "HorizontalFlip", "init_args": {"p": 2}}, "p: Input should be less than or equal to 1, not 2"),
        ({"class_path": "RandomResizedCrop"}, "RandomResizedCrop: size: Field required"),
        ({"class_path": "OneOf", "init_args": {"transforms": [{"class_path": "Blurr"}]}}, "did you mean 'Blur'"),
        ({"class_path": "Normalize"}, "Normalize cannot be listed: .* the network normalises"),
        ({"class_path": "albumentations.pytorch.ToTensorV2"}, "ToTensorV2 cannot be listed"),
        ({"class_path": "no_such_module.Flip"}, "no_such_module.Flip cannot be imported"),
        ({"class_path": "os.path"}, "'os.path' is not a transform"),
        ({"class_path": "HorizontalFlip", "init_args": [1]}, "expected names and values"),
        ({"HorizontalFlip": {"p": 1}}, "expected class_path and init_args"),
        ("HorizontalFlip", "expected class_path and init_args"),
    ],
)
def test_a_wrong_step_is_told_in_one_line(step: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=f"^data.train_transforms: .*{words}") as caught:
        ListedTransforms([step], "data.train_transforms")
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_changes_the_dtype_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_transforms", sys.modules[__name__])
    monkeypatch.setattr(Counting, "apply", lambda self, img, **params: img / 255)
    with pytest.raises(RecipeError, match="turn uint8 images into float64"):
        ListedTransforms([{"class_path": "my_transforms.Counting"}])(IMAGE, (48, 64), (0,))


def test_importing_asks_no_server() -> None:
    code = """
import socket, sys, urllib.request
def asked(*args, **kwargs): print("asked", args[:1]); raise OSError("no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = urllib.request.urlopen = asked
import resnet_tl.data.images.transforms
print("imported", "albumentations" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "imported True\n"
