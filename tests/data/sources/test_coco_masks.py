"""Masks of COCO in the forms that tools write; what a set makes of them is in the test of its source."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_tl.data.sources.coco_masks import polygons, run_lengths

TRIANGLE = [0.1, 0.5, 0.5, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("segmentation", [TRIANGLE, [TRIANGLE, [0.1, 0.5, 0.5, 0.5]]])
def test_polygons_in_fractions_become_pixels(segmentation: list[Any]) -> None:
    found = polygons(segmentation, fractions_of=(20, 30))
    assert found is not None
    assert [polygon.tolist() for polygon in found] == [[[3, 10], [15, 10], [15, 20]]]


def test_polygons_in_pixels_stay() -> None:
    found = polygons([0, 0, 4, 0, 4, 5], fractions_of=(20, 30))
    assert found is not None
    assert found[0].tolist() == [[0, 0], [4, 0], [4, 5]]
    assert polygons([[0, 0, 4, 0]]) is None


def test_run_lengths_of_another_size_are_refused() -> None:
    assert run_lengths({"counts": [3, 3], "size": [2, 3]}, (2, 3)).counts.tolist() == [3, 3]
    with pytest.raises(ValueError, match=r"has a mask of \[3, 2\] \(h, w\), but its image is \[2, 3\]"):
        run_lengths({"counts": [3, 3], "size": [3, 2]}, (2, 3))
