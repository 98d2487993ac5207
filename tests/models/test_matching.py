"""Target assignment of a batch equals torchvision's, image by image, and the paper's definition."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.matching import IGNORED, NONE, match_by_centre, match_by_overlap, pad
from resnet_tl.structures.records import Boxes, Level

LEVELS = [Level("p3", 8, 8), Level("p4", 8, 16), Level("p5", 8, 32)]
GRIDS = [(16, 16), (8, 8), (4, 4)]


def batch(counts: list[int], seed: int) -> Boxes:
    """Whole pixels, so that overlaps tie."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)
    corner = torch.randint(0, 60, (total, 2), generator=generator)
    side = torch.randint(3, 68, (total, 2), generator=generator)
    boxes = torch.cat([corner, corner + side], 1).float()
    image = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Boxes(boxes, torch.arange(total) % 4, image, torch.zeros(total, dtype=torch.bool), torch.ones(total))


counts = st.lists(st.integers(0, 5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(0, 999))
def test_matches_by_overlap_equal_torchvision(counts: list[int], seed: int) -> None:
    targets = batch(counts, seed)
    anchors = torch.cat(Anchors(LEVELS, [[16], [32], [64]])(GRIDS, (128, 128)))
    match = match_by_overlap(pad(targets, len(counts)), anchors, low=0.4, high=0.5)
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    for found, image in zip(match, targets.split(len(counts)), strict=True):
        expected = torch.full_like(found, NONE)
        if len(image):
            expected = matcher(box_iou(image.boxes, anchors))
        assert torch.equal(found, expected)


def test_all_three_kinds_of_matches_occur() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4.5], [50, 50, 60, 60]])
    objects = pad(batch([1], 0), 1)._replace(boxes=torch.tensor([[[0.0, 0, 10, 10]]]))
    assert match_by_overlap(objects, anchors, low=0.4, high=0.5).tolist() == [[0, 0, IGNORED, NONE]]


def test_a_box_without_area_matches_no_anchor() -> None:
    objects = pad(batch([1], 0), 1)._replace(boxes=torch.tensor([[[5.0, 5, 5, 9]]]))
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    assert match_by_overlap(objects, anchors, low=0.4, high=0.5).tolist() == [[NONE, NONE]]


@settings(deadline=None, max_examples=20)
@given(counts, st.integers(0, 999))
def test_matches_by_centre_follow_the_paper(counts: list[int], seed: int) -> None:
    targets = batch(counts, seed)
    anchors = Anchors(LEVELS, [[8], [16], [32]], ratios=(1.0,))(GRIDS, (128, 128))
    match = match_by_centre(pad(targets, len(counts)), anchors, radius=1.5)
    ranges = [(0, 64), (64, 128), (128, float("inf"))]
    points = [
        ((column * level.stride, row * level.stride), level.stride, between)
        for level, (rows, columns), between in zip(LEVELS, GRIDS, ranges, strict=True)
        for row in range(rows)
        for column in range(columns)
    ]
    for found, image in zip(match, targets.split(len(counts)), strict=True):
        assert found.tolist() == [smallest(image.boxes, *point) for point in points]


def smallest(boxes: Tensor, point: tuple[int, int], stride: int, between: tuple[float, float]) -> int:
    (x, y), fitting = point, []
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        sides = (x - x0, y - y0, x1 - x, y1 - y)
        off = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2))
        if min(sides) > 0 and between[0] < max(sides) < between[1] and off < 1.5 * stride:
            fitting.append(((x1 - x0) * (y1 - y0), number))
    return min(fitting)[1] if fitting else NONE


def test_padding_drops_crowds() -> None:
    targets = batch([2, 0, 3], 0)
    targets.crowd[3] = True
    boxes, labels, valid = pad(targets, 3)
    assert valid.tolist() == [[True, True], [False, False], [True, True]]
    assert labels.tolist() == [[0, 1], [0, 0], [2, 0]]
    assert torch.equal(boxes[2], targets.boxes[[2, 4]])
    assert pad(batch([0], 0), 1).boxes.shape == (1, 1, 4)
