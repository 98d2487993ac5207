"""Box arithmetic, against torchvision's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder
from torchvision.ops import box_iou, generalized_box_iou

from resnet_tl.structures import boxes as bx

Convert = Callable[[Tensor], Tensor]
FORMS = [(bx.to_xywh, bx.from_xywh), (bx.to_centre, bx.from_centre)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def some_boxes(count: int, size: float = 100) -> Tensor:
    corners = torch.rand(count, 2, 2) * size
    return torch.cat([corners.amin(1), corners.amax(1) + 0.5], 1)


@pytest.mark.parametrize(("to", "back"), FORMS)
def test_forms_convert_there_and_back(to: Convert, back: Convert) -> None:
    boxes = some_boxes(20).view(4, 5, 4)
    torch.testing.assert_close(back(to(boxes)), boxes)


def test_forms_are_those_of_coco_and_yolo() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert bx.to_xywh(box).tolist() == [[10, 20, 20, 40]]
    assert bx.to_centre(box).tolist() == [[20, 40, 20, 40]]
    assert bx.area(box).tolist() == [800]


def test_iou_equals_torchvision() -> None:
    boxes, anchors = some_boxes(12), some_boxes(50)
    torch.testing.assert_close(bx.pairwise_iou(boxes, anchors), box_iou(boxes, anchors))
    torch.testing.assert_close(bx.pairwise_iou(boxes.view(3, 4, 4), anchors), box_iou(boxes, anchors).view(3, 4, 50))
    torch.testing.assert_close(bx.giou(boxes, anchors[:12]), generalized_box_iou(boxes, anchors[:12]).diagonal())


def test_boxes_without_area_overlap_nothing() -> None:
    empty = torch.zeros(1, 4)
    assert bx.pairwise_iou(empty, torch.cat([some_boxes(3), empty])).tolist() == [[0, 0, 0, 0]]
    assert bx.giou(empty, empty).isfinite().all()


def test_deltas_and_sides_equal_torchvision() -> None:
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


def test_boxes_are_clipped_to_their_image() -> None:
    boxes = torch.tensor([[-5.0, -5.0, 500.0, 500.0]]).expand(2, 1, 4)
    clipped = bx.clip(boxes, torch.tensor([[10, 20], [30, 40]]))
    assert clipped.tolist() == [[[0, 0, 20, 10]], [[0, 0, 40, 30]]]


def test_boxes_follow_their_resized_image() -> None:
    boxes = torch.tensor([[[2.0, 3.0, 4.0, 6.0]]])
    assert bx.rescale(boxes, torch.tensor([[10, 10]]), torch.tensor([[20, 40]])).tolist() == [[[8, 6, 16, 12]]]
