"""Transforms that a recipe lists."""

from __future__ import annotations

import sys
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest

from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.errors import RecipeError

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


class Counting(A.ImageOnlyTransform):
    """A custom transform, as a recipe may name it: brightens by `by`."""

    def __init__(self, by: int = 1, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.by = by

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        return img + self.by


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


def test_a_custom_transform_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_transforms", sys.modules[__name__])
    steps = [{"class_path": "my_transforms.Counting", "init_args": {"by": 3}}]
    np.testing.assert_array_equal(ListedTransforms(steps)(IMAGE // 2, (48, 64), (0,))[0], IMAGE // 2 + 3)


def test_the_input_image_is_not_written_to() -> None:
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
def test_a_wrong_step_is_an_error_of_one_line(step: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=f"^data.train_transforms: .*{words}") as caught:
        ListedTransforms([step], "data.train_transforms")
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_changes_the_dtype_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_transforms", sys.modules[__name__])
    monkeypatch.setattr(Counting, "apply", lambda self, img, **params: img / 255)
    with pytest.raises(RecipeError, match="turn uint8 images into float64"):
        ListedTransforms([{"class_path": "my_transforms.Counting"}])(IMAGE, (48, 64), (0,))


def test_draws_of_different_transforms_are_independent() -> None:
    """albumentations' own seeding starts each transform of a pipeline in the same state."""
    steps = [{"class_path": name, "init_args": {"p": 0.5}} for name in ("HorizontalFlip", "VerticalFlip")]
    corner = np.zeros((2, 2, 1), np.uint8)
    corner[0, 0] = 1
    where = [int(ListedTransforms(steps)(corner, (2, 2), (0, 0, key, 0)).argmax()) for key in range(400)]
    assert all(70 <= count <= 130 for count in np.bincount(where, minlength=4))
