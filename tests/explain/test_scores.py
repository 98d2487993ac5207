"""What is explained, as a number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_tl.explain.scores import ClassScore, ObjectScore, RegionScore
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.structures.records import Detections

LOGITS = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


class Found:
    """A head that has found these boxes."""

    def __init__(self, boxes: list[list[float]], scores: list[float], labels: list[int]) -> None:
        shape = (1, len(boxes), 4)
        self.found = Detections(
            torch.tensor(boxes).reshape(shape), torch.tensor([scores]), torch.tensor([labels], dtype=torch.int64)
        )

    def predict(self, outputs: object) -> Detections:
        return self.found


def of_object(head: Any) -> Tensor:
    return ObjectScore(head, torch.tensor([0.0, 0.0, 10.0, 10.0]), 1)(None)


def test_a_class_has_its_logit() -> None:
    assert ClassScore(torch.tensor([1, 0]))(LOGITS).tolist() == [2, 3]
    assert ClassScore(torch.tensor([1]))(LOGITS).tolist() == [2, 4]


def test_an_object_has_its_own_score_although_others_are_surer() -> None:
    boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 20.0], [0.0, 0.0, 10.0, 10.0]]
    assert of_object(Found(boxes, [0.3, 0.9, 0.8], [1, 1, 0])).item() == pytest.approx(0.3)


def test_an_object_that_has_moved_or_gone_has_less() -> None:
    assert of_object(Found([[0.0, 0.0, 10.0, 5.0]], [0.8], [1])).item() == pytest.approx(0.4)
    assert of_object(Found([[0.0, 0.0, 10.0, 10.0]], [0.8], [0])).item() == 0
    assert of_object(Found([], [], [])).tolist() == [0]


def test_a_region_has_the_mean_logit_of_its_class() -> None:
    main = torch.arange(8.0).reshape(1, 2, 2, 2)
    inside = torch.tensor([[True, False], [False, True]])
    assert RegionScore(1, inside)(PixelLogits(main, None)).tolist() == [5.5]
