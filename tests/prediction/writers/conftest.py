"""Predictions made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.segmentation import MaskPrediction


@pytest.fixture
def detected() -> Callable[..., BoxPrediction]:
    """`detected(0, "a.jpg")`: a dust of score 0.9 and a cell of 0.3 on an image of 40 x 31."""

    def make(index: int, path: str | None, objects: int = 2, masks: bool = False, channels: int = 3) -> BoxPrediction:
        boxes = np.array([[1, 2, 11, 22], [0, 0, 30.5, 40]], np.float32)[:objects]
        cutouts = [Cutout(np.ones((5, 4), bool), 2, 1), Cutout(np.ones((2, 2), bool), 38, 28)][:objects]
        image = np.zeros((40, 31, channels), np.uint16 if channels > 3 else np.uint8)
        scores, labels = np.array([0.9, 0.3], np.float32)[:objects], np.array([1, 0])[:objects]
        names = ["cell", "dust"]
        return BoxPrediction(
            index, path, image, boxes, scores, labels, [names[k] for k in labels], cutouts if masks else None
        )

    return make


@pytest.fixture
def segmented() -> Callable[..., MaskPrediction]:
    """`segmented(0, "a.jpg", label=1)`: class 0, and a quarter of `label`, on an image of 8 x 6."""

    def make(index: int, path: str | None, label: int = 1, channels: int = 3) -> MaskPrediction:
        mask = np.zeros((8, 6), np.uint8)
        mask[:4, :3] = label
        image = np.full((8, 6, channels), 100, np.uint16 if channels > 3 else np.uint8)
        return MaskPrediction(index, path, image, mask)

    return make
