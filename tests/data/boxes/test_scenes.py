"""Scenes resized, mirrored and cropped: every object stays on its own colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene, crop_scene, mirror_scene, resize_scene

Draw = Callable[..., Scene]
Check = Callable[..., None]
FIRST = 40
"""The grey of the first object; the next ones are lighter by 20."""


def test_resizing_and_mirroring(draw_scene: Draw, check_colours: Check) -> None:
    scene = draw_scene()
    check_colours(scene, edge=0)
    check_colours(mirror_scene(scene), edge=0)
    assert mirror_scene(mirror_scene(scene)).objects.boxes.tolist() == scene.objects.boxes.tolist()
    larger = resize_scene(scene, (96, 192))
    check_colours(larger)
    assert larger.objects.area.tolist() == pytest.approx((scene.objects.area * 6).tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(8, 28), st.integers(8, 44), st.integers(0, 9))
def test_cropping_removes_what_is_hardly_visible(
    draw_scene: Draw, check_colours: Check, top: int, left: int, height: int, width: int, seed: int
) -> None:
    scene = draw_scene(seed=seed)
    cropped = crop_scene(scene, top, left, height, width)
    assert cropped.size == (height, width)
    check_colours(cropped, edge=0)
    visible = [(cropped.image[..., 0] == FIRST + 20 * label).sum() for label in range(3)]
    share = np.array(visible) / scene.objects.area
    assert cropped.objects.labels.tolist() == np.flatnonzero(share >= MIN_VISIBLE_SHARE).tolist()
    assert cropped.objects.area.tolist() == pytest.approx(np.array(visible)[share >= MIN_VISIBLE_SHARE].tolist())
