"""Predictions as JSON."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.prediction.segmentation import MaskPrediction, MaskPredictor
from resnet_tl.prediction.writers.masks import save_mask
from resnet_tl.serve.batching import Predicted

OUTLINE = 0.5
"""Pixels by which an outline may miss the mask."""


def answer(predicted: Predicted, predictor: AnyPredictor, outlines: bool) -> dict[str, Any]:
    """Returns the prediction for one image; x, y, width and height are in pixels of the upright image.

    outlines: of masks of objects, as polygons.
    """
    prediction, (height, width) = predicted
    if isinstance(prediction, ClassPrediction):
        content = _classes(prediction)
    elif isinstance(prediction, ValuePrediction):
        content = {"values": prediction.values, "intervals": prediction.intervals}
    elif isinstance(prediction, BoxPrediction):
        content = {"objects": _objects(prediction, outlines)}
    else:
        assert isinstance(prediction, MaskPrediction)
        assert isinstance(predictor, MaskPredictor)
        content = _areas(prediction, predictor.classes, predictor.colours)
    return {**content, "width": width, "height": height}


def _classes(prediction: ClassPrediction) -> dict[str, Any]:
    pairs = zip(prediction.classes, prediction.scores, strict=True)
    return {
        "classes": [{"name": name, "score": score} for name, score in pairs],
        "none_of_these": None if prediction.outlier_score is None else prediction.none_of_these,
        "possible": prediction.possible,
    }


def _objects(prediction: BoxPrediction, outlines: bool) -> list[dict[str, Any]]:
    values = zip(prediction.classes, prediction.scores.tolist(), prediction.boxes.tolist(), strict=True)
    objects: list[dict[str, Any]] = [{"name": name, "score": score, "box": box} for name, score, box in values]
    if outlines and prediction.masks is not None:
        for each, mask in zip(objects, prediction.masks, strict=True):
            each["polygons"] = polygons(mask)
    return objects


def polygons(mask: Cutout) -> list[list[float]]:
    """Returns the outer outlines of a mask, x, y, x, y, ... through the middles of its outermost pixels."""
    found, _ = cv2.findContours(mask.pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corner = np.array([mask.left, mask.top]) + 0.5
    simple = (cv2.approxPolyDP(outline, OUTLINE, True) for outline in found)
    return [(points[:, 0] + corner).ravel().tolist() for points in simple]


def _areas(prediction: MaskPrediction, classes: Sequence[str], colours: npt.NDArray[np.uint8]) -> dict[str, Any]:
    shares = np.bincount(prediction.mask.ravel(), minlength=len(classes)) / prediction.mask.size
    order = [k for k in np.argsort(-shares, kind="stable").tolist() if shares[k] > 0]
    file = io.BytesIO()
    save_mask(prediction.mask, colours, file)
    areas = [{"name": classes[k], "share": float(shares[k]), "colour": colours[k].tolist()} for k in order]
    return {"areas": areas, "mask": b64encode(file.getvalue()).decode()}
