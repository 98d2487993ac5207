"""What of a prediction is explained: classes or numbers of an image, objects, the pixels of a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from resnet_tl.errors import RecipeError
from resnet_tl.explain.scores import ClassScore, ObjectScore, RegionScore, Score, ValueScore
from resnet_tl.explain.view import Box
from resnet_tl.models.heads.base import Head
from resnet_tl.prediction.base import Prediction
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.prediction.segmentation import MaskPrediction
from resnet_tl.structures.boxes import rescale


@dataclass(frozen=True)
class Aim:
    """label: a class index. predicted, box: see `Explanation`. score: what is explained. words: the prediction."""

    label: int
    predicted: float
    box: Box | None
    score: Score
    words: str


@dataclass(frozen=True)
class Choice:
    """What the user wants to have explained.

    label: a class index; None: the predicted one. top: at most so many of an image, the best first. box: a region.
    """

    label: int | None
    top: int
    box: Box | None


def aims(prediction: Prediction, head: Head, size: tuple[int, int], choice: Choice) -> Iterator[Aim]:
    """Yields what is explained of a prediction; nothing if no object or pixel of the class was predicted.

    size: (h, w) of the network's input.
    """
    if isinstance(prediction, ClassPrediction):
        return _classes(prediction, choice)
    if isinstance(prediction, BoxPrediction):
        return _objects(prediction, head, size, choice)
    if isinstance(prediction, ValuePrediction):
        return _values(prediction, choice)
    assert isinstance(prediction, MaskPrediction)
    return _regions(prediction, size, choice)


def _classes(prediction: ClassPrediction, choice: Choice) -> Iterator[Aim]:
    best = np.argsort(-prediction.probabilities, kind="stable")[: choice.top].tolist()
    for label in best if choice.label is None else [choice.label]:
        probability = float(prediction.probabilities[label])
        yield Aim(label, probability, None, ClassScore(torch.tensor([label])), f"{probability:.2f}")


def _values(prediction: ValuePrediction, choice: Choice) -> Iterator[Aim]:
    """What raises a number: of several the first ones."""
    values = list(prediction.values.values())
    for label in range(len(values))[: choice.top] if choice.label is None else [choice.label]:
        yield Aim(label, values[label], None, ValueScore(label), f"{values[label]:.4g}")


def _objects(prediction: BoxPrediction, head: Head, size: tuple[int, int], choice: Choice) -> Iterator[Aim]:
    labels, original = prediction.labels, (prediction.image.shape[0], prediction.image.shape[1])
    chosen = np.arange(len(labels)) if choice.label is None else np.flatnonzero(labels == choice.label)
    for number in chosen[: choice.top].tolist():
        label, score, box = int(labels[number]), float(prediction.scores[number]), prediction.boxes[number]
        x1, y1, x2, y2 = box.tolist()
        yield Aim(label, score, (x1, y1, x2, y2), object_score(head, box, label, original, size), f"{score:.2f}")


def _regions(prediction: MaskPrediction, size: tuple[int, int], choice: Choice) -> Iterator[Aim]:
    height, width = prediction.mask.shape
    x1, y1, x2, y2 = (round(edge) for edge in choice.box or (0, 0, width, height))
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise RecipeError(
            f"box: {x1},{y1},{x2},{y2} does not lie in {prediction.path or f'image {prediction.index}'}; "
            f"expected 0 <= x1 < x2 <= {width} and 0 <= y1 < y2 <= {height}"
        )
    region = prediction.mask[y1:y2, x1:x2]
    counts = np.bincount(region.ravel())
    largest = [label for label in np.argsort(-counts, kind="stable").tolist() if counts[label]][: choice.top]
    for label in largest if choice.label is None else [choice.label]:
        inside = np.zeros(prediction.mask.shape, bool)
        inside[y1:y2, x1:x2] = region == label
        share = float((region == label).mean())
        if share == 0 and choice.box is None:
            continue
        if share == 0:  # why the class was not predicted there
            inside[y1:y2, x1:x2] = True
        words = f"{100 * share:.1f} % of the {'image' if choice.box is None else 'box'}"
        yield Aim(label, share, choice.box, region_score(label, inside, size), words)


def region_score(label: int, inside: NDArray[np.bool_], size: tuple[int, int]) -> RegionScore:
    """Returns the score of a class over pixels of the image, `[H, W]`; size: (h, w) of the network's input."""
    # Small regions do not vanish where the image is reduced.
    return RegionScore(label, F.adaptive_max_pool2d(torch.from_numpy(inside)[None].float(), size)[0] > 0)


def object_score(
    head: Head, box: NDArray[np.floating], label: int, original: tuple[int, int], size: tuple[int, int]
) -> ObjectScore:
    """Returns the score of an object with a box `[4]` in pixels of an image of `original` (H, W)."""
    moved = rescale(torch.from_numpy(box).float()[None, None], torch.tensor([original]), torch.tensor([size]))
    return ObjectScore(head, moved[0, 0], label)
