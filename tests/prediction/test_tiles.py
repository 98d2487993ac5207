"""Tiles of an image, and the objects of tiles as those of the image."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.errors import RecipeError
from resnet_tl.prediction.tiles import Tiling, Window, merge, read_tiling, seen_better, windows


def merged(*objects: tuple[list[float], float, int, bool], tiles: list[int] | None = None) -> list[int]:
    """The positions that stay of objects (box, score, label, whether another tile sees it better), each from its own
    tile."""
    boxes, scores, labels, better = zip(*objects, strict=True)
    arrays = np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels)
    return merge(*arrays, np.arange(len(objects)) if tiles is None else np.array(tiles), np.array(better)).tolist()


@pytest.mark.parametrize("size", [(640, 640), (641, 640), (1440, 1920), (700, 5000), (100, 2000), (64, 64)])
@pytest.mark.parametrize("tiling", [Tiling(640, 128), Tiling(64, 0), Tiling(64, 63), Tiling(480, 100)])
def test_tiles_of_one_size_cover_the_image_and_overlap(size: tuple[int, int], tiling: Tiling) -> None:
    if tiling.overlap == 63 and size[1] > 700:
        size = (70, 90)
    tiles = windows(*size, tiling)
    assert len(set(tiles)) == len(tiles)
    for axis in (0, 1):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == size[axis]
        assert {end - start for start, end in spans} == {min(tiling.side, size[axis])}
        overlaps = [end - start for (_, end), (start, _) in pairwise(spans)]
        assert all(overlap >= tiling.overlap for overlap in overlaps)
        fewest = 1 + max(0, -(-(size[axis] - tiling.side) // (tiling.side - tiling.overlap)))
        assert len(spans) == fewest


def test_the_overlap_is_a_fifth_unless_it_is_given() -> None:
    assert read_tiling(None, None) is None
    assert read_tiling(640, None) == Tiling(640, 128)
    assert read_tiling(640, 0) == Tiling(640, 0)


@pytest.mark.parametrize(
    ("tiles", "overlap", "message"),
    [
        (0, None, "tiles: 0; expected the side of a tile in pixels, 32 or more"),
        (640, 640, "overlap: 640; expected 0 to 639 pixels, less than the side of a tile"),
        (640, -1, "overlap: -1; expected 0 to 639 pixels, less than the side of a tile"),
        (None, 64, "overlap: applies to tiles; add tiles, the side of a tile in pixels, or remove it"),
    ],
)
def test_values_out_of_range_are_refused(tiles: int | None, overlap: int | None, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{message}$"):
        read_tiling(tiles, overlap)


def test_a_tile_sees_an_object_better_that_has_its_middle_deeper_inside() -> None:
    """Two tiles of an image of 100 x 160 overlap in 60...100: of the same depth in both is what is at 80."""
    tiles, size = [Window(0, 0, 100, 100), Window(0, 60, 100, 160)], (100, 160)
    boxes = np.array([[0, 0, 9, 9], [70, 0, 86, 9], [70, 0, 90, 9], [74, 0, 90, 9], [90, 0, 100, 99]], np.float32)
    assert seen_better(boxes, tiles[0], tiles, size).tolist() == [False, False, False, True, True]
    assert seen_better(boxes, tiles[1], tiles, size).tolist() == [True, True, False, False, False]
    tall = [Window(0, 0, 100, 100), Window(60, 0, 160, 100)]
    turned = boxes[:, [1, 0, 3, 2]]
    assert seen_better(turned, tall[0], tall, (160, 100)).tolist() == [False, False, False, True, True]


def test_no_tile_sees_an_object_better_where_one_is_the_image_or_tiles_do_not_overlap() -> None:
    boxes = np.array([[90, 10, 100, 50]], np.float32)
    whole, halves = Window(0, 0, 100, 100), [Window(0, 0, 100, 100), Window(0, 100, 100, 200)]
    assert not seen_better(boxes, whole, [whole], (100, 100)).any()
    assert not seen_better(boxes, halves[0], halves, (100, 200)).any()


@st.composite
def layouts(draw: st.DrawFn) -> tuple[tuple[int, int], Tiling, list[list[float]]]:
    """An image, tiles, and objects no wider than their overlap that lie apart: one at most in each field of a grid."""
    overlap = draw(st.integers(4, 40))
    tiling = Tiling(draw(st.integers(overlap + 8, 100)), overlap)
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    objects = []
    for row, column in draw(st.sets(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), min_size=1)):
        height, width = (draw(st.integers(2, overlap)) for _ in range(2))
        y, x = (
            row * overlap + draw(st.integers(0, overlap - height)),
            column * overlap + draw(st.integers(0, overlap - width)),
        )
        objects.append([float(x), float(y), float(x + width), float(y + height)])
    return (rows * overlap, columns * overlap), tiling, objects


@settings(deadline=None)
@given(layouts(), st.randoms(use_true_random=False))
def test_whole_objects_stay_of_all_that_tiles_cut_whatever_the_scores(
    layout: tuple[tuple[int, int], Tiling, list[list[float]]], random: Random
) -> None:
    """Tiles find what is inside them of each object."""
    size, tiling, objects = layout
    tiles, boxes, better, numbers = windows(*size, tiling), [], [], []
    for number, tile in enumerate(tiles):
        inside = np.array(objects, np.float32).clip([tile.left, tile.top] * 2, [tile.right, tile.bottom] * 2)
        found = inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)]
        boxes.append(found)
        better.append(seen_better(found, tile, tiles, size))
        numbers += [number] * len(found)
    scores = np.array([random.random() for _ in numbers], np.float32)
    arrays = np.concatenate(boxes), scores, np.zeros(len(numbers), np.int64), np.array(numbers), np.concatenate(better)
    assert sorted(arrays[0][merge(*arrays)].tolist()) == sorted(objects)


def test_an_object_of_two_tiles_is_one_and_the_better_box_stays() -> None:
    assert merged(([0, 0, 10, 10], 0.6, 1, False), ([1, 0, 10, 10], 0.8, 1, False)) == [1]


def test_objects_of_other_classes_stay() -> None:
    assert merged(([0, 0, 10, 10], 0.6, 0, False), ([1, 0, 10, 10], 0.8, 1, False)) == [1, 0]


def test_a_part_is_dropped_for_the_whole_object_even_with_a_higher_score() -> None:
    """Their IoU is 0.3, so that plain suppression keeps both."""
    assert merged(([0, 0, 3, 10], 0.9, 1, True), ([0, 0, 10, 10], 0.4, 1, False)) == [1]
    assert merged(([0, 0, 3, 10], 0.9, 0, True), ([0, 0, 10, 10], 0.4, 1, False)) == [0, 1]


def test_a_part_that_nothing_covers_stays() -> None:
    assert merged(([0, 0, 3, 10], 0.9, 1, True), ([2, 0, 12, 10], 0.4, 1, False)) == [0, 1]


def test_a_whole_object_inside_another_stays() -> None:
    assert merged(([2, 2, 5, 5], 0.9, 1, False), ([0, 0, 10, 10], 0.4, 1, False)) == [0, 1]


def test_of_parts_of_a_part_the_best_stays() -> None:
    assert merged(([0, 0, 10, 10], 0.6, 1, True), ([1, 0, 10, 10], 0.8, 1, True)) == [1]


def test_objects_of_one_tile_stay_as_the_head_gave_them() -> None:
    assert merged(([0, 0, 10, 10], 0.6, 1, False), ([1, 0, 10, 10], 0.8, 1, True), tiles=[3, 3]) == [1, 0]


def test_nothing_found_is_nothing() -> None:
    empty = np.zeros(0, np.int64)
    assert merge(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), empty, empty, empty > 0).tolist() == []
