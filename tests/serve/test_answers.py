"""Predictions as JSON."""

from __future__ import annotations

import cv2
import numpy as np

from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.serve.answers import answer, polygons
from resnet_tl.serve.batching import Predicted


def test_outlines_follow_the_mask() -> None:
    pixels = np.zeros((60, 80), np.uint8)
    cv2.circle(pixels, (30, 30), 20, 1, -1)
    cv2.rectangle(pixels, (60, 10), (70, 50), 1, -1)
    found = polygons(Cutout(pixels.astype(bool), 5, 7))
    assert len(found) == 2
    drawn = np.zeros((70, 90), np.uint8)
    for outline in found:
        points = np.array(outline).reshape(-1, 2) - 0.5
        assert len(points) < 40
        cv2.fillPoly(drawn, [points.astype(np.int32)], 1)
    expected = np.zeros_like(drawn)
    expected[5:65, 7:87] = pixels
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.97
    assert polygons(Cutout(np.zeros((3, 3), bool), 0, 0)) == []


def test_images_unlike_those_of_training_are_named() -> None:
    prediction = ClassPrediction(0, None, ["ant"], [0.75], np.ones(1, np.float32), possible=[], outlier_score=1.5)
    assert answer(Predicted(prediction, (30, 40)), None, False) == {  # type: ignore[arg-type]
        "classes": [{"name": "ant", "score": 0.75}],
        "none_of_these": True,
        "possible": [],
        "width": 40,
        "height": 30,
    }


def test_numbers_have_their_intervals() -> None:
    prediction = ValuePrediction(0, None, {"age": 31.5}, {"age": (27.0, 36.0)})
    content = answer(Predicted(prediction, (30, 40)), None, False)  # type: ignore[arg-type]
    assert (content["values"], content["intervals"]) == ({"age": 31.5}, {"age": (27.0, 36.0)})
