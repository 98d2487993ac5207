"""Boxes and masks as numbers, against torchvision's and against pixels counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder
from torchvision.ops import box_iou, generalized_box_iou

from resnet_tl.structures import boxes as bx
from resnet_tl.structures.masks import RunLengths, to_pixels, to_run_lengths
from resnet_tl.structures.records import Boxes

FORMS = [(bx.to_xywh, bx.from_xywh), (bx.to_centre, bx.from_centre)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def some_boxes(count: int, size: float = 100) -> Tensor:
    corners = torch.rand(count, 2, 2) * size
    return torch.cat([corners.amin(1), corners.amax(1) + 0.5], 1)


@pytest.mark.parametrize(("to", "back"), FORMS)
def test_forms_go_there_and_back(to, back) -> None:  # type: ignore[no-untyped-def]
    boxes = some_boxes(20).view(4, 5, 4)
    torch.testing.assert_close(back(to(boxes)), boxes)


def test_forms_are_cocos_and_yolos() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert bx.to_xywh(box).tolist() == [[10, 20, 20, 40]]
    assert bx.to_centre(box).tolist() == [[20, 40, 20, 40]]
    assert bx.area(box).tolist() == [800]


def test_iou_is_torchvisions() -> None:
    boxes, anchors = some_boxes(12), some_boxes(50)
    torch.testing.assert_close(bx.pairwise_iou(boxes, anchors), box_iou(boxes, anchors))
    torch.testing.assert_close(bx.pairwise_iou(boxes.view(3, 4, 4), anchors), box_iou(boxes, anchors).view(3, 4, 50))
    torch.testing.assert_close(bx.giou(boxes, anchors[:12]), generalized_box_iou(boxes, anchors[:12]).diagonal())


def test_boxes_without_area_overlap_nothing() -> None:
    empty = torch.zeros(1, 4)
    assert bx.pairwise_iou(empty, torch.cat([some_boxes(3), empty])).tolist() == [[0, 0, 0, 0]]
    assert bx.giou(empty, empty).isfinite().all()


def test_deltas_and_sides_are_torchvisions() -> None:
    boxes, anchors = some_boxes(30), some_boxes(30)
    coder, linear = BoxCoder((1.0, 1.0, 1.0, 1.0)), BoxLinearCoder()
    torch.testing.assert_close(bx.encode(boxes, anchors), coder.encode_single(boxes, anchors))
    deltas = torch.randn(30, 4) * 3
    torch.testing.assert_close(bx.decode(deltas, anchors), coder.decode_single(deltas, anchors))
    torch.testing.assert_close(bx.encode_sides(boxes, anchors), linear.encode(anchors, boxes))
    torch.testing.assert_close(bx.decode_sides(deltas, anchors), linear.decode(deltas, anchors))


def test_decoding_undoes_encoding_and_never_overflows() -> None:
    boxes, anchors = some_boxes(30), some_boxes(30)
    anchors[:, 2:] += 10
    torch.testing.assert_close(bx.decode(bx.encode(boxes, anchors), anchors), boxes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(bx.decode_sides(bx.encode_sides(boxes, anchors), anchors), boxes, rtol=1e-4, atol=1e-3)
    assert bx.decode(torch.full((30, 4), 1e4), anchors).isfinite().all()


def test_boxes_are_clipped_to_their_own_image() -> None:
    boxes = torch.tensor([[-5.0, -5.0, 500.0, 500.0]]).expand(2, 1, 4)
    clipped = bx.clip(boxes, torch.tensor([[10, 20], [30, 40]]))
    assert clipped.tolist() == [[[0, 0, 20, 10]], [[0, 0, 40, 30]]]


def test_boxes_follow_their_resized_image() -> None:
    boxes = torch.tensor([[[2.0, 3.0, 4.0, 6.0]]])
    assert bx.rescale(boxes, torch.tensor([[10, 10]]), torch.tensor([[20, 40]])).tolist() == [[[8, 6, 16, 12]]]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_run_lengths_are_the_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < 0.5
    lengths = to_run_lengths(pixels)
    assert lengths.counts.sum() == height * width
    assert (lengths.counts[1:] > 0).all()
    assert np.array_equal(to_pixels(lengths, height, width), pixels)
    padded = to_pixels(lengths, height + 2, width + 3)
    assert np.array_equal(padded[:height, :width], pixels)
    assert padded.sum() == pixels.sum()


def test_run_lengths_go_down_the_columns_as_cocos() -> None:
    assert to_pixels(RunLengths(np.array([1, 2, 3]), (2, 3)), 2, 3).tolist() == [
        [False, True, False],
        [True, False, False],
    ]


def test_a_polygon_s_pixels_are_those_whose_centre_it_holds() -> None:
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


def test_a_polygon_over_the_edge_is_cut_off() -> None:
    assert to_pixels([np.array([[-9, -9], [99, -9], [99, 99], [-9, 99]], np.float32)], 4, 5).all()


def image(count: int) -> Boxes:
    zeros = torch.zeros(count, dtype=torch.int64)
    masks = [[some_boxes(1).view(2, 2).numpy()] for _ in range(count)]
    return Boxes(some_boxes(count), torch.arange(count), zeros, zeros == 1, torch.rand(count), masks)


def test_images_join_and_split() -> None:
    each = [image(2), image(0), image(3)]
    joined = Boxes.join(each)
    assert joined.image.tolist() == [0, 0, 2, 2, 2]
    back = joined.split(3)
    assert [len(boxes) for boxes in back] == [2, 0, 3]
    assert all(torch.equal(a.boxes, b.boxes) and a.masks == b.masks for a, b in zip(back, each, strict=True))
    assert len(Boxes.join([image(0)])) == 0
    joined.crowd[3] = True
    assert joined.objects().labels.tolist() == [0, 1, 0, 2]
    assert joined.to("cpu").masks is joined.masks
