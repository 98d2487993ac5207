"""What of a prediction is explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.explain.aims import Choice, aims, object_score, region_score
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.segmentation import MaskPrediction

HEAD: Any = None
CLASSES = ClassPrediction(0, "a.jpg", ["b"], [0.5], np.array([0.2, 0.5, 0.3], np.float32))
MASK = np.zeros((40, 60), np.uint8)
MASK[:4, :5], MASK[20:30, 20:50] = 3, 2
PIXELS = MaskPrediction(0, "a.jpg", np.zeros((40, 60, 3), np.uint8), MASK)


def test_the_likeliest_classes_come_first() -> None:
    found = list(aims(CLASSES, HEAD, (8, 8), Choice(None, 2, None)))
    assert [(aim.label, aim.words) for aim in found] == [(1, "0.50"), (2, "0.30")]
    assert [aim.label for aim in aims(CLASSES, HEAD, (8, 8), Choice(0, 2, None))] == [0]


def test_the_classes_with_most_pixels_come_first() -> None:
    found = list(aims(PIXELS, HEAD, (20, 30), Choice(None, 5, None)))
    assert [aim.label for aim in found] == [0, 2, 3]
    assert found[1].words == "12.5 % of the image"


def test_a_box_narrows_the_region_and_is_all_of_it_without_the_class() -> None:
    (inside,) = aims(PIXELS, HEAD, (40, 60), Choice(2, 1, (0, 0, 60, 25)))
    assert inside.score.inside.sum() == 5 * 30  # type: ignore[attr-defined]
    assert inside.words == "10.0 % of the box"
    (absent,) = aims(PIXELS, HEAD, (40, 60), Choice(2, 1, (0, 0, 10, 10)))
    assert absent.score.inside.sum() == 100  # type: ignore[attr-defined]
    assert list(aims(PIXELS, HEAD, (40, 60), Choice(1, 1, None))) == []


def test_small_regions_survive_a_reduction() -> None:
    inside = np.zeros((100, 100), bool)
    inside[37, 61] = True
    assert region_score(0, inside, (10, 10)).inside.nonzero().tolist() == [[3, 6]]


def test_boxes_move_with_the_image() -> None:
    score = object_score(HEAD, np.array([10, 20, 30, 40]), 1, (100, 200), (50, 400))
    torch.testing.assert_close(score.box, torch.tensor([20.0, 10.0, 60.0, 20.0]))
    assert not score.whole


def test_a_class_is_of_the_whole_image() -> None:
    (aim,) = aims(CLASSES, HEAD, (8, 8), Choice(None, 1, None))
    assert aim.score.whole
    assert aim.predicted == pytest.approx(0.5)
