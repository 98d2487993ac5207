"""Which parts of an image a prediction comes from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.explain.aims import Aim, Choice, aims
from resnet_tl.explain.attribution import checked_stage, gradcam, occlusion, require_captum
from resnet_tl.explain.view import Box, Map, view_of
from resnet_tl.prediction.base import Options, Prediction, wrong_task
from resnet_tl.prediction.inputs import Listed, Source, list_images
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.loader import OnError

Method: TypeAlias = Literal["gradcam", "occlusion"]

OBJECTS = 3
"""Objects of an image that are explained by default."""


@dataclass(frozen=True)
class Explanation(Prediction):
    """Which parts of an image one of its predictions comes from.

    image: `[H, W, C]` as decoded; as the network receives it where a classifier's recipe lists its own transforms.
    label: the class that is explained.
    score: its probability, or a predicted number; an object's score; for pixels the share of the region, or of the
        image, that has the class.
    box: x1, y1, x2, y2 of the object or the region, in pixels of the image; None if there is none.
    map: `[H, W]` float32: how much each pixel adds to the score; 0 where the network sees nothing.
    caption: the prediction and the method in words.
    """

    image: ImageArray
    label: str
    score: float
    box: Box | None
    map: Map
    caption: str


def explain(
    predictor: AnyPredictor,
    inputs: Source | Iterable[Source],
    *,
    label: str | None = None,
    stage: str | None = None,
    method: Method = "gradcam",
    top: int | None = None,
    box: Box | None = None,
    score: float | None = None,
    on_error: OnError = "error",
    every: int | None = None,
) -> Iterator[Explanation]:
    """Explains predictions, one image after another; see `resnet_tl.explain.attribution` for what the maps hold.

    Args:
        inputs, on_error, every: see `Predictor.predict`.
        label: a class, whether it was predicted or not; of detectors, its objects. None: what was predicted.
        stage: of the network, after which Grad-CAM reads the maps; None: the last before the head.
        method: `gradcam`, or `occlusion`, which is slower and needs no gradient.
        top: how many explanations an image has at most, best first: classes (1), objects (3), classes of pixels (1).
        box: segmentation: explain the pixels of the class within x1, y1, x2, y2.
        score: detection: the lowest score of objects, 0...1; None: as in `Predictor.predict`.

    Raises:
        RecipeError: no such class, stage or method; an option of another task; a box outside the image; several of one
            class.
        RunError: captum is not installed.
        DataError: see `Predictor.predict`.
    """
    require_captum()
    if method not in METHODS:
        raise RecipeError(f"method: {method!r}; expected {' or '.join(METHODS)}{did_you_mean(method, METHODS)}")
    if method == "occlusion" and stage is not None:
        raise RecipeError(f"stage: {stage!r} is for gradcam; occlusion covers the image itself; remove it")
    if label is not None and label not in predictor.classes:
        known = ", ".join(predictor.classes[:20])
        raise RecipeError(f"class: there is no {label!r}; expected {known}{did_you_mean(label, predictor.classes)}")
    if top is not None and top < 1:
        raise RecipeError(f"top: {top!r}; expected 1 or more")
    if label is not None and (top or 1) > 1 and predictor.task != "detection":
        raise RecipeError(f"top: {top}, but one class is explained, {label!r}; remove top or class")
    if box is not None and predictor.task != "segmentation":
        raise wrong_task("box", "segmentation", predictor.task)
    if box is not None and not all(map(math.isfinite, box)):
        raise RecipeError(f"box: {','.join(f'{edge:g}' for edge in box)}; expected four finite numbers, in pixels")
    if score is not None and predictor.task != "detection":
        raise wrong_task("score", "detection", predictor.task)
    if score is not None and not 0 <= score <= 1:
        raise RecipeError(f"score: {score!r}; expected 0 to 1")
    most = top or (OBJECTS if predictor.task == "detection" else 1)
    choice = Choice(None if label is None else predictor.classes.index(label), most, box)
    last = checked_stage(predictor.trained, stage)
    return _stream(predictor, list_images(inputs, every), choice, last, method, score, on_error)


METHODS = get_args(Method)


def _stream(
    predictor: AnyPredictor,
    images: list[Listed],
    choice: Choice,
    stage: str,
    method: Method,
    score: float | None,
    on_error: OnError,
) -> Iterator[Explanation]:
    words = "occlusion" if method == "occlusion" else f"Grad-CAM at {stage}"
    loader = replace(predictor.loader, keep_images=True, reduce=False)
    for batch in loader.batches(images, 1, on_error):
        for each in batch:
            pixels = predictor.stack([each])
            (prediction,) = predictor.predict_batch([each], Options(top=1, score=score))
            view = view_of(each, loader.transform, whole=predictor.task in ("detection", "segmentation"))
            size = (pixels.shape[-2], pixels.shape[-1])
            aim: Aim | None = None
            for aim in aims(prediction, predictor.trained.head, size, choice):
                if method == "gradcam":
                    values = gradcam(predictor.trained, pixels, aim.score, stage)
                else:
                    values = occlusion(predictor.trained, pixels, aim.score)
                name, placed = predictor.classes[aim.label], view.onto_image(values[0])
                caption = f"{name} {aim.words} · {words}"
                yield Explanation(each.index, each.path, view.image, name, aim.predicted, aim.box, placed, caption)
            if aim is None:
                what = "nothing" if choice.label is None else f"no {predictor.classes[choice.label]!r}"
                where = f"image {each.index}" if each.path is None else each.path
                warnings.warn(f"not explained: {where}: {what} was predicted", stacklevel=2)
