"""Masks as polygons, run lengths and pixels; how they follow the transforms of their image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycocotools

from resnet_tl.structures.masks import (
    Mask,
    RunLengths,
    area,
    bounds,
    crop,
    decompress,
    orient,
    orient_pixels,
    place,
    resize,
    to_pixels,
    to_run_lengths,
)


def blobs(height: int, width: int, seed: int, share: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < share


def box(x1: float, y1: float, x2: float, y2: float) -> Mask:
    return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)]


sides = st.integers(1, 40)


@settings(deadline=None)
@given(sides, sides, st.integers(0, 99), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_compressed_run_lengths_of_pycocotools_decode(height: int, width: int, seed: int, share: float) -> None:
    pixels = blobs(height, width, seed, share)
    text = pycocotools.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    mask = decompress(text, (height, width))
    assert mask.counts.tolist() == to_run_lengths(pixels).counts.tolist()
    assert (to_pixels(mask, height, width) == pixels).all()
    assert area(mask) == pixels.sum()


def test_large_numbers_decode() -> None:
    pixels = np.zeros((3000, 700), bool)
    pixels[:, 300:] = True
    pixels[1500, 350:400] = False
    text = pycocotools.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    assert decompress(text, (3000, 700)).counts.tolist() == to_run_lengths(pixels).counts.tolist()


@pytest.mark.parametrize("text", ["~", "0P", "é", "\x20"])
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decompress(text, (4, 4))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_polygons_and_run_lengths_orient_alike(orientation: int) -> None:
    polygon = box(3, 2, 9, 13) + box(11, 1, 12, 4)
    pixels = to_pixels(polygon, 16, 20)
    upright = orient_pixels(pixels, orientation)
    assert (to_pixels(orient(polygon, (16, 20), orientation), *upright.shape) == upright).all()
    assert (to_pixels(orient(to_run_lengths(pixels), (16, 20), orientation), *upright.shape) == upright).all()


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 15), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9))
def test_cropping_and_placing_keep_the_pixels(top: int, left: int, height: int, width: int, seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-6, 26, (7, 2)).astype(np.float32)
    for mask in ([corners], to_run_lengths(to_pixels([corners], 16, 20))):
        pixels = to_pixels(mask, 16, 20)[top : top + height, left : left + width]
        part = crop(mask, (16, 20), (top, left, height, width))
        assert (to_pixels(part, height, width) == pixels).all()
        moved = place(part, (height, width), (5, 7), (30, 40))
        expected = np.zeros((30, 40), bool)
        expected[5 : 5 + height, 7 : 7 + width] = pixels
        assert (to_pixels(moved, 30, 40) == expected).all()


@settings(deadline=None)
@given(st.integers(3, 9), st.integers(0, 999))
def test_a_pixel_is_inside_a_polygon_if_its_centre_is(corners: int, seed: int) -> None:
    polygon = np.random.default_rng(seed).uniform(-5, 25, (corners, 2)).astype(np.float32)
    expected = np.zeros((16, 20), bool)
    edges = list(zip(polygon.astype(float), np.roll(polygon, -1, axis=0).astype(float), strict=True))
    for row, column in np.ndindex(16, 20):
        x, y = column + 0.5, row + 0.5
        for (x1, y1), (x2, y2) in edges:
            if (y1 <= y) != (y2 <= y) and x1 + (y - y1) / (y2 - y1) * (x2 - x1) <= x:
                expected[row, column] ^= True
    assert (to_pixels([polygon], 16, 20) == expected).all()


def test_resizing_by_whole_factors_repeats_pixels() -> None:
    pixels = blobs(6, 8, 0)
    mask = resize(to_run_lengths(pixels), (6, 8), (12, 24))
    assert (to_pixels(mask, 12, 24) == pixels.repeat(2, 0).repeat(3, 1)).all()
    (corners,) = resize(box(1, 2, 3, 4), (6, 8), (12, 24))
    assert corners.tolist() == [[3, 4], [9, 4], [9, 8], [3, 8]]


def test_area_and_bounds() -> None:
    both = box(1, 2, 5, 4) + box(7, 1, 8, 3)
    assert area(both) == 10
    assert bounds(both).tolist() == [1, 1, 8, 4]
    runs = to_run_lengths(to_pixels(both, 10, 12))
    assert area(runs) == 10
    assert bounds(runs).tolist() == [1, 1, 8, 4]
    assert area([]) == area(RunLengths(np.array([120]), (10, 12))) == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_run_lengths_round_trip_to_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < 0.5
    lengths = to_run_lengths(pixels)
    assert lengths.counts.sum() == height * width
    assert (lengths.counts[1:] > 0).all()
    assert np.array_equal(to_pixels(lengths, height, width), pixels)
    padded = to_pixels(lengths, height + 2, width + 3)
    assert np.array_equal(padded[:height, :width], pixels)
    assert padded.sum() == pixels.sum()


def test_run_lengths_go_down_the_columns_as_in_coco() -> None:
    assert to_pixels(RunLengths(np.array([1, 2, 3]), (2, 3)), 2, 3).tolist() == [
        [False, True, False],
        [True, False, False],
    ]


def test_a_polygon_fills_the_pixels_whose_centre_it_contains() -> None:
    rectangle = np.array([[1, 2], [4, 2], [4, 5], [1, 5]], np.float32)
    pixels = to_pixels([rectangle], 6, 6)
    assert pixels.sum() == 9
    assert pixels[2:5, 1:4].all()
    triangle = np.array([[0, 0], [8, 0], [0, 8]], np.float32)
    filled = to_pixels([triangle], 8, 8)
    y, x = np.mgrid[:8, :8] + 0.5
    inside = x + y < 8
    assert (filled[x + y != 8] == inside[x + y != 8]).all()
    both = to_pixels([rectangle, triangle], 8, 8)
    assert np.array_equal(both, to_pixels([rectangle], 8, 8) | filled)


def test_a_polygon_beyond_the_image_is_clipped() -> None:
    assert to_pixels([np.array([[-9, -9], [99, -9], [99, 99], [-9, 99]], np.float32)], 4, 5).all()


def test_cropped_polygons_end_at_the_sides() -> None:
    triangle = [np.array([(-10, 10), (10, -10), (30, 30)], np.float32)]
    (inside,) = crop(triangle, (40, 40), (0, 0, 20, 20))
    assert inside.min() >= 0
    assert inside.max() <= 20
    whole = to_pixels(triangle, 20, 20)
    assert (to_pixels([inside], 20, 20) == whole).all()
    assert crop(triangle, (40, 40), (35, 0, 5, 5)) == []
