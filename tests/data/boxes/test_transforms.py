"""Transforms of an image and its objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.boxes.scenes import Scene, area
from resnet_tl.data.boxes.transforms import LargeScaleJitter, ListedSceneTransforms, ResizeWhole
from resnet_tl.data.listings.objects import Objects
from resnet_tl.errors import RecipeError

Draw = Callable[..., Scene]
Check = Callable[..., None]
FIRST = 40
"""The grey of the first object; the next ones are lighter by 20."""


def no_other_image(rng: np.random.Generator) -> Scene:
    raise AssertionError("no other image is needed")


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(20, 80), st.integers(20, 80)),
    scale=st.sampled_from([(1.0, 1.0), (0.3, 0.9), (1.2, 2.5), (0.1, 2.0)]),
    seed=st.integers(0, 999),
)
def test_jitter_keeps_objects_on_their_colours(
    draw_scene: Draw, check_colours: Check, size: tuple[int, int], scale: tuple[float, float], seed: int
) -> None:
    scene = draw_scene(*size, seed=seed)
    jitter = LargeScaleJitter(ResizeWhole(32, 48, "nearest"), scale, "light")
    moved = jitter(scene, np.random.default_rng(seed))
    short, long = sorted(moved.size)
    assert short <= 32
    assert long <= 48
    assert scale[1] > 1 or len(moved.objects.labels) == 3
    large = moved.objects.where(area(moved.objects.boxes) > 80)
    check_colours(moved._replace(objects=large), edge=2)


def test_whole_images_keep_their_aspect(draw_scene: Draw) -> None:
    resize = ResizeWhole(32, 50, "bilinear")
    for size, expected in (((48, 64), (32, 43)), ((64, 48), (43, 32)), ((20, 80), (12, 50)), ((320, 320), (32, 32))):
        assert resize(draw_scene(*size), (0,), no_other_image).size == expected
    empty = draw_scene(48, 64, 0)
    assert len(resize(empty, (0,), no_other_image).objects.labels) == 0


def test_objects_follow_the_image(draw_scene: Draw, check_colours: Check) -> None:
    steps = [
        {"class_path": "HorizontalFlip", "init_args": {"p": 1.0}},
        {"class_path": "Affine", "init_args": {"translate_px": {"x": 6, "y": 4}, "p": 1.0}},
    ]
    for seed in range(5):
        scene = ListedSceneTransforms(steps, "data.train_transforms")(draw_scene(seed=seed), (seed,), no_other_image)
        check_colours(scene, edge=1)
        assert scene.objects.labels.dtype == np.int64
        assert scene.objects.boxes.dtype == scene.objects.area.dtype == np.float32


def test_labels_stay_integers_and_class_0_is_a_class(draw_scene: Draw) -> None:
    scene = draw_scene(count=3)
    bare = scene._replace(objects=scene.objects._replace(masks=None, labels=np.array([0, 90, 0])))
    steps = [{"class_path": "Crop", "init_args": {"x_min": 0, "y_min": 0, "x_max": 42, "y_max": 48}}]
    changed = ListedSceneTransforms(steps, "data.train_transforms")(bare, (0,), no_other_image).objects
    assert changed.labels.tolist() == [0, 90]
    assert changed.labels.dtype == np.int64
    assert changed.masks is None
    assert changed.area.tolist() == bare.objects.area[:2].tolist()


@pytest.mark.parametrize("masked", [True, False])
def test_an_image_without_objects(draw_scene: Draw, masked: bool) -> None:
    scene = draw_scene(count=0)
    scene = scene if masked else scene._replace(objects=scene.objects._replace(masks=None))
    steps = [{"class_path": "HorizontalFlip", "init_args": {"p": 1.0}}]
    objects = ListedSceneTransforms(steps, "data.train_transforms")(scene, (0,), no_other_image).objects
    assert objects.boxes.shape == (0, 4)
    assert objects.masks == ([] if masked else None)


def test_a_box_barely_over_the_edge_is_clipped() -> None:
    """albumentations #459."""
    corners = np.array([[0, 0, np.nextafter(np.float32(64), np.float32(65)), 48]], np.float32)
    objects = Objects(corners, np.array([0]), np.array([False]), area(corners))
    scene = Scene(np.zeros((48, 64, 3), np.uint8), objects)
    steps = [{"class_path": "VerticalFlip", "init_args": {"p": 1.0}}]
    assert ListedSceneTransforms(steps, "data.train_transforms")(
        scene, (0,), no_other_image
    ).objects.boxes.tolist() == [[0, 0, 64, 48]]


def test_unknown_transforms_are_named() -> None:
    with pytest.raises(RecipeError, match=r"^data.train_transforms: 'Flop' is not a transform"):
        ListedSceneTransforms([{"class_path": "Flop"}], "data.train_transforms")
