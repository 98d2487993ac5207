"""Images with boxes, captions and masks."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.drawing import colour_of, draw, ink_on


@pytest.mark.parametrize(("height", "width"), [(16, 24), (128, 160), (600, 900), (1500, 1000)])
def test_captions_are_readable_at_any_size(height: int, width: int) -> None:
    """The caption's plate is above the box; its height is a share of the image's."""
    plain = np.full((height, width, 3), 90, np.uint8)
    box = np.array([[0.2 * width, 0.4 * height, 0.8 * width, 0.9 * height]], np.float32)
    image = np.asarray(draw(plain, box, [3], ["cat 97 %"]))
    short = min(image.shape[:2])
    assert short == max(480, min(height, width))
    coloured = (abs(image.astype(int) - colour_of(3)) <= 2).all(2)
    x0, y0, x1, y1 = (np.array(box[0]) * image.shape[1] / width).round().astype(int)
    assert 0.025 * short < coloured[:y0, x0 + 1].sum() < 0.08 * short
    for row, column in ((y0 + 1, (x0 + x1) // 2), (y1 - 2, x0 + 5), ((y0 + y1) // 2, x1 - 2)):
        assert coloured[row, column]
    assert not coloured[(y0 + y1) // 2, (x0 + x1) // 2]


def test_a_mask_is_half_transparent_and_has_a_rim() -> None:
    plain = np.full((480, 480, 3), 100, np.uint8)
    mask = Cutout(np.ones((100, 80), bool), 200, 150)
    image = np.asarray(draw(plain, np.array([[150, 200, 230, 300]], np.float32), [1], [""], [mask])).astype(int)
    tinted = (np.array(colour_of(1)) * 0.45 + 100 * 0.55).astype(int)
    assert abs(image[250, 190] - tinted).max() <= 2
    assert (image[400, 400] == 100).all()


def test_captions_do_not_hide_each_other_where_there_is_room() -> None:
    """Two boxes with one corner in common."""
    plain = np.zeros((500, 500, 3), np.uint8)
    boxes = np.array([[100, 100, 400, 400], [100, 100, 300, 300]], np.float32)
    both = np.asarray(draw(plain, boxes, [0, 1], ["first", "second"])).astype(int)
    plates = [(abs(both - colour_of(label)) <= 2).all(2).sum() for label in (0, 1)]
    alone = [
        (abs(np.asarray(draw(plain, boxes[[n]], [n], [word])).astype(int) - colour_of(n)) <= 2).all(2).sum()
        for n, word in enumerate(["first", "second"])
    ]
    assert plates[0] > 0.9 * alone[0]


def test_the_input_image_is_not_changed() -> None:
    plain = np.zeros((500, 500, 3), np.uint8)
    draw(plain, np.array([[1, 1, 9, 9]], np.float32), [0], ["a"], [Cutout(np.ones((8, 8), bool), 1, 1)])
    assert not plain.any()


def test_colours_of_near_labels_differ() -> None:
    colours = np.array([colour_of(label) for label in range(12)]).astype(int)
    apart = abs(colours[:, None] - colours[None]).sum(2) + 1000 * np.eye(12, dtype=int)
    assert apart.min() > 50


def test_captions_have_the_contrast_that_small_text_needs() -> None:
    """At least 4.5 (WCAG 2.2, 1.4.3)."""
    for label in range(100):
        light = [value / 3295 if value < 11 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour_of(label)]
        luminance = float(np.dot(light, (0.2126, 0.7152, 0.0722)))
        contrast = {"black": (luminance + 0.05) / 0.05, "white": 1.05 / (luminance + 0.05)}
        assert contrast[ink_on(colour_of(label))] >= 4.5
