"""Which parts of one image a prediction comes from, as a picture."""

from __future__ import annotations

import io
from dataclasses import replace

import cv2
import numpy as np

from resnet_tl.data.images.resize import resize
from resnet_tl.errors import DataError, UserError
from resnet_tl.explain.attribution import require_captum
from resnet_tl.explain.drawing import picture
from resnet_tl.explain.explain import Explanation, explain
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.prediction.inputs import Source
from resnet_tl.prediction.load import AnyPredictor

LARGEST = 1600
"""Pixels of a picture's longer side at most: a map of a few hundred cells shows no more in larger ones."""


def obstacle(predictor: AnyPredictor) -> UserError | None:
    """Returns why nothing can be explained: captum is not installed, or an exported file hides the network's stages."""
    try:
        require_captum()
        predictor.trained  # noqa: B018
    except UserError as error:
        return error
    return None


def explained(predictor: AnyPredictor, image: Source, label: str | None) -> Explanation:
    """Explains what is predicted of one image by Grad-CAM: a class, the best object, or the class with
    most pixels.

    Args:
        label: a class; of a detector its best object, however low its score.

    Raises:
        DataError: not an image, or too large.
        UserError: see `obstacle`; no such class; no object or pixel of it was predicted.
    """
    score = 0.0 if predictor.task == "detection" else None
    explanation = next(explain(predictor, image, label=label, top=1, score=score), None)
    if explanation is None:
        what = "nothing" if label is None else f"no {label!r}"
        raise DataError(f"{what} was predicted, so there is nothing to explain")
    return explanation


def png(explanation: Explanation) -> bytes:
    """Returns the image under its heat map, with a caption and the scale below."""
    file = io.BytesIO()
    picture(_reduced(explanation)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _reduced(explanation: Explanation) -> Explanation:
    height, width = explanation.map.shape
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return explanation
    size = max(round(height * scale), 1), max(round(width * scale), 1)
    image = resize(to_rgb(explanation.image), *size)
    values = cv2.resize(explanation.map, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    box = explanation.box and tuple(np.multiply(explanation.box, scale).tolist())
    return replace(explanation, image=image, map=values, box=box)
