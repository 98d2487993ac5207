"""Masks are encoded as pycocotools encodes them; boxes are scored by COCO's rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycocotools

from resnet_tl.metrics.coco import area, encode, evaluate
from resnet_tl.structures.masks import to_run_lengths


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_run_lengths_are_encoded_as_pycocotools_encodes_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < 0.4
    expected = pycocotools.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
    counts = encode(to_run_lengths(pixels), height, width)
    assert counts == expected
    assert area({"size": [height, width], "counts": counts}) == pixels.sum()


def test_polygons_are_encoded_as_pycocotools_fills_them() -> None:
    polygons = [np.array([[2, 1], [9, 3], [5, 11]], np.float32), np.array([[8, 8], [15, 8], [15, 12]], np.float32)]
    flat = [polygon.astype(float).ravel().tolist() for polygon in polygons]
    expected = pycocotools.merge(pycocotools.frPyObjects(flat, 14, 17))["counts"]
    assert encode(polygons, 14, 17) == expected


def test_a_box_that_overlaps_by_half_counts_at_the_lowest_threshold_only() -> None:
    target = {"image_id": 0, "category_id": 0, "bbox": [0.0, 0.0, 10.0, 10.0], "area": 100.0, "iscrowd": 0}
    prediction = {"image_id": 0, "category_id": 0, "bbox": [0.0, 0.0, 10.0, 5.2], "area": 52.0, "score": 0.9}
    scores = evaluate([{"id": 0}], [prediction], [target], classes=2, kind="bbox")
    assert scores.numbers["map50"] == pytest.approx(1)
    assert scores.numbers["map75"] == 0
    assert scores.numbers["map"] == pytest.approx(0.1)
    assert scores.numbers["map_large"] == -1
    assert scores.precision.shape == (10, 101, 2)
    assert (scores.precision[:, :, 1] == -1).all()
