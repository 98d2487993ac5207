"""Boxes on images, and what surrounds one."""

from __future__ import annotations

import numpy as np

from resnet_tl.report.drawn_boxes import CROP, HIT, LONG, MISSED, Drawn, crop, whole

PIXELS = np.full((400, 1000, 3), 255, np.uint8)


def colours(image: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, image.reshape(-1, 3).tolist()))


def test_a_whole_image_has_all_its_boxes() -> None:
    boxes = [
        Drawn(np.array([10.0, 10, 200, 200]), HIT, "cell 0.90"),
        Drawn(np.array([500.0, 50, 900, 390]), MISSED, "", True),
    ]
    image = whole(PIXELS, boxes)
    assert image.size == (LONG, 288)
    assert {(16, 185, 129), (245, 158, 11)} <= colours(np.asarray(image))


def test_a_box_at_the_edge_has_its_surroundings_inside_the_image() -> None:
    image = crop(PIXELS, [Drawn(np.array([980.0, 380, 1000, 400]), HIT, "")])
    assert max(image.size) == CROP
    assert (16, 185, 129) in colours(np.asarray(image))
    degenerate = crop(PIXELS, [Drawn(np.array([0.0, 0, 0, 0]), MISSED, "", True)])
    assert min(degenerate.size) > 0
