"""Tiles of an image, and the objects of tiles as those of the image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.prediction.tiles import Tiling, Window, are_cut, merge, read_tiling, windows


def merged(*objects: tuple[list[float], float, int, bool], tiles: list[int] | None = None) -> list[int]:
    """The positions that stay of objects (box, score, label, whether its tile cuts it), each from its own tile."""
    boxes, scores, labels, cut = zip(*objects, strict=True)
    arrays = np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels)
    return merge(*arrays, np.arange(len(objects)) if tiles is None else np.array(tiles), np.array(cut)).tolist()


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


def test_only_inner_edges_cut_objects() -> None:
    boxes = np.array([[0, 0, 50, 50], [40, 10, 99.5, 50], [40, 10, 90, 99], [10, 10, 90, 90]], np.float32)
    assert are_cut(boxes, Window(0, 0, 100, 100), (150, 200)).tolist() == [False, True, True, False]
    assert are_cut(boxes, Window(0, 0, 100, 100), (100, 200)).tolist() == [False, True, False, False]
    assert not are_cut(boxes, Window(0, 0, 100, 100), (100, 100)).any()
    moved = boxes + np.array([100, 50, 100, 50], np.float32)
    assert are_cut(moved, Window(50, 100, 150, 200), (150, 200)).tolist() == [True, False, False, False]


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
