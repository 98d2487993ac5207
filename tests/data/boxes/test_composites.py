"""Mosaics and pasted objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.boxes.composites import MosaicAndPaste, mosaic_of_four, paste_objects
from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene, area
from resnet_tl.data.boxes.transforms import LargeScaleJitter, ResizeWhole
from resnet_tl.data.images.augment import Strength
from resnet_tl.data.listings.objects import Objects
from resnet_tl.structures.masks import Mask, to_pixels

Draw = Callable[..., Scene]
Check = Callable[..., None]
FIRST = 40
"""The grey of the first object; the next ones are lighter by 20."""


def test_a_mosaic_keeps_objects_on_their_colours_and_in_their_quarter(draw_scene: Draw, check_colours: Check) -> None:
    firsts = [40, 100, 160, 220]
    jitter = LargeScaleJitter(ResizeWhole(60, 100, "nearest"), (0.7, 1.4), "light")
    for seed in range(20):
        four = [draw_scene(seed=seed, count=1 + i % 3, first=firsts[i]) for i in range(4)]
        four = [
            scene._replace(objects=scene.objects._replace(labels=scene.objects.labels + 3 * i))
            for i, scene in enumerate(four)
        ]
        whole = mosaic_of_four(four, jitter, np.random.default_rng(seed))
        assert whole.size == (60, 80)
        assert len(whole.objects.labels) > 0
        large = whole.objects.where(area(whole.objects.boxes) > 80)
        check_colours(whole._replace(objects=large))
        outlines = np.zeros(whole.size, int)
        for mask in whole.objects.masks or []:
            outlines += to_pixels(mask, *whole.size)
        assert outlines.max() <= 1, "no object reaches into random_scene image's part"


def test_pasted_objects_cover_what_was_there(draw_scene: Draw, check_colours: Check) -> None:
    for seed in range(20):
        scene, other = draw_scene(seed=seed), draw_scene(40, 80, count=5, seed=seed + 50, first=140)
        other = other._replace(objects=other.objects._replace(labels=other.objects.labels + 5))
        whole = paste_objects(scene, other, np.random.default_rng(seed))
        check_colours(whole, edge=0)
        new = whole.objects.labels >= 5
        assert new.any()
        for label, mask, size in zip(whole.objects.labels, whole.objects.masks or [], whole.objects.area, strict=True):
            pixels = to_pixels(mask, *whole.size)
            assert (pixels == (whole.image[..., 0] == FIRST + 20 * label)).all()
            assert size == pytest.approx(pixels.sum(), rel=1e-4)
        removed = set(range(3)) - set(whole.objects.labels.tolist())
        for label in removed:
            left = (whole.image[..., 0] == FIRST + 20 * label).sum()
            assert left < MIN_VISIBLE_SHARE * scene.objects.area[label]


def test_covered_objects_are_removed_and_crowds_not_pasted(draw_scene: Draw) -> None:
    scene = draw_scene(count=1)
    corners = np.array([[0, 0, 64, 48]], np.float32)
    shape: list[Mask] = [[np.array([(0, 0), (64, 0), (64, 48), (0, 48)], np.float32)]]
    all_over = Objects(corners, np.array([7]), np.array([False]), area(corners), shape)
    other = Scene(np.full((48, 64, 3), 180, np.uint8), all_over)
    whole = paste_objects(scene, other, np.random.default_rng(0))
    assert whole.objects.labels.tolist() == [7]
    assert (whole.image == 180).all()
    crowd = other._replace(objects=all_over._replace(crowd=np.array([True])))
    assert paste_objects(scene, crowd, np.random.default_rng(0)) is scene


def test_composites_are_a_function_of_the_seed(draw_scene: Draw) -> None:
    def random_scene(rng: np.random.Generator) -> Scene:
        return draw_scene(seed=int(rng.integers(100)))

    composites = MosaicAndPaste(
        LargeScaleJitter(ResizeWhole(32, 48, "bilinear"), (0.5, 2.0), "medium"), mosaic=0.5, copy_paste=0.5
    )
    seen = set()
    for seed in range(12):
        scene, again = (composites(draw_scene(), (seed, 1), random_scene) for _ in range(2))
        assert (scene.image == again.image).all()
        assert scene.objects.boxes.tolist() == again.objects.boxes.tolist()
        seen.add(scene.image.tobytes())
    assert len(seen) == 12


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_number_of_channels_and_16_bits(draw_scene: Draw, dtype: type, channels: int) -> None:
    def random_scene(rng: np.random.Generator) -> Scene:
        image = rng.integers(0, 255, (30, 40, channels), np.uint8)
        return Scene(image.astype(dtype), draw_scene(30, 40).objects)

    scene = random_scene(np.random.default_rng(0))
    jitter = LargeScaleJitter(ResizeWhole(24, 40, "bilinear"), (0.5, 2.0), "strong")
    for mosaic, copy_paste in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        whole = MosaicAndPaste(jitter, mosaic, copy_paste)(scene, (0,), random_scene)
        assert whole.image.dtype == dtype
        assert whole.image.shape[2] == channels


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["medium", "strong", "trivial", "rand"]),
    st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]),
    st.integers(0, 2**32),
)
def test_a_preset_changes_colours_and_no_box_or_mask(
    draw_scene: Draw, strength: Strength, shares: tuple[float, float], seed: int
) -> None:
    def random_scene(rng: np.random.Generator) -> Scene:
        return draw_scene(seed=int(rng.integers(100)))

    scenes = []
    for each in (strength, "light"):
        jitter = LargeScaleJitter(ResizeWhole(32, 48, "bilinear"), (0.5, 2.0), each)
        scenes.append(MosaicAndPaste(jitter, *shares)(draw_scene(seed=seed), (seed,), random_scene))
    changed, light = scenes
    assert changed.image.shape == light.image.shape
    for one, other in zip(changed.objects[:4], light.objects[:4], strict=True):
        np.testing.assert_array_equal(one, other)
    for mask, same in zip(changed.objects.masks or [], light.objects.masks or [], strict=True):
        np.testing.assert_array_equal(to_pixels(mask, *changed.size), to_pixels(same, *light.size))
    height, width = changed.size
    assert (changed.objects.boxes[:, :2] < changed.objects.boxes[:, 2:]).all()
    assert (changed.objects.boxes >= 0).all()
    assert (changed.objects.boxes <= (width, height, width, height)).all()


def test_sets_without_masks_have_none(draw_scene: Draw) -> None:
    def random_scene(rng: np.random.Generator) -> Scene:
        scene = draw_scene(seed=int(rng.integers(100)))
        return scene._replace(objects=scene.objects._replace(masks=None))

    jitter = LargeScaleJitter(ResizeWhole(32, 48, "bilinear"), (0.5, 2.0), "none")
    for share in (0.0, 1.0):
        assert (
            MosaicAndPaste(jitter, share, 0.0)(random_scene(np.random.default_rng(0)), (0,), random_scene).objects.masks
            is None
        )
