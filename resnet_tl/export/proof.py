"""The proof of an export: the same images through the checkpoint and through the file, compared and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import RunError
from resnet_tl.metrics.box_matches import iou
from resnet_tl.models.pasting import Cutout
from resnet_tl.prediction.base import Prediction
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.detection import BoxPrediction
from resnet_tl.prediction.inputs import Source
from resnet_tl.prediction.load import AnyPredictor
from resnet_tl.prediction.regression import ValuePrediction
from resnet_tl.prediction.segmentation import MaskPrediction, MaskPredictor

LIMITS = {
    "probability": 1e-3,
    "number / sd": 1e-3,
    "pixels": 1e-3,
    "objects": 0.0,
    "1 - IoU": 1e-3,
    "score": 1e-3,
    "mask": 1e-2,
}
"""The largest differences that rounding explains. number / sd: in standard deviations of the training images' numbers.
pixels: the share of them whose class differs. objects: how many the other side lacks. mask: the share of all objects'
pixels that differ."""
SCORE = 0.3
"""Objects with lower scores are not compared: rounding decides which of very many are kept."""
BATCHES = (1, 4)
RUNS = 7


@dataclass(frozen=True)
class Agreement:
    """How far an exported file is from its checkpoint on some images.

    differences: by name, see `LIMITS`, the largest over all images and batch sizes.
    milliseconds: of one image in the network alone, median: of the checkpoint, and of the file.
    """

    images: int
    differences: Mapping[str, float]
    milliseconds: tuple[float, float]

    @property
    def holds(self) -> bool:
        return all(value <= LIMITS[name] for name, value in self.differences.items())

    @property
    def report(self) -> str:
        here, there = self.milliseconds
        return f"{self}\none image through the network: {here:.1f} ms from the checkpoint, {there:.1f} ms from the file"

    @property
    def fault(self) -> str:
        return f"it differs from its checkpoint: {self}"

    def __str__(self) -> str:
        parts = [f"{name} {value:.1e} (at most {LIMITS[name]:g})" for name, value in self.differences.items()]
        return f"largest differences on {self.images} images: {', '.join(parts)}"


def compare(checkpoint: AnyPredictor, exported: AnyPredictor, images: Sequence[Source]) -> Agreement:
    """Predicts images with both, one by one and in batches.

    Raises:
        RunError: of a detector, no object in them has a score that is compared.
    """
    worst: dict[str, float] = {}
    every = 0.0 if checkpoint.task == "detection" else None  # also the partners of objects just above a limit
    for batch_size in BATCHES:
        ours = checkpoint.predict(images, batch_size=batch_size, score=every)
        theirs = exported.predict(images, batch_size=batch_size, score=every)
        if checkpoint.task == "detection" and not any(_found(one) for one in ours):
            raise RunError(
                f"nothing proves the export: in these {len(images)} images the network finds no object with a score of "
                f"at least {SCORE}; name others (--images PHOTOS), or train it longer"
            )
        for one, other in zip(ours, theirs, strict=True):
            for name, value in _differences(checkpoint, exported, one, other).items():
                worst[name] = max(worst.get(name, 0.0), value)
    times = tuple(milliseconds(each, images[0]) for each in (checkpoint, exported))
    return Agreement(len(images), worst, (times[0], times[1]))


def _differences(
    checkpoint: AnyPredictor, exported: AnyPredictor, one: Prediction, other: Prediction
) -> dict[str, float]:
    if isinstance(one, ClassPrediction) and isinstance(other, ClassPrediction):
        return {"probability": _largest(one.probabilities - other.probabilities)}
    if isinstance(one, BoxPrediction) and isinstance(other, BoxPrediction):
        return _of_objects(one, other)
    if isinstance(one, ValuePrediction) and isinstance(other, ValuePrediction):
        return {"number / sd": _of_numbers(checkpoint, one, other)}
    assert isinstance(one, MaskPrediction)
    assert isinstance(other, MaskPrediction)
    ours, theirs = (_probabilities(each, one.image) for each in (checkpoint, exported))
    return {"probability": _largest(ours - theirs), "pixels": float((one.mask != other.mask).mean())}


def _of_numbers(checkpoint: AnyPredictor, one: ValuePrediction, other: ValuePrediction) -> float:
    """Compares numbers and both ends of their intervals, in standard deviations of the training images."""
    head: Any = checkpoint.network.head
    sd: NDArray[np.float32] = head.sd.cpu().numpy()
    ours, theirs = (np.array([[*each.values.values()], *_ends(each)]) for each in (one, other))
    return _largest((ours - theirs) / sd)


def _ends(prediction: ValuePrediction) -> list[tuple[float, ...]]:
    return [] if prediction.intervals is None else [*zip(*prediction.intervals.values(), strict=True)]


def _found(prediction: Prediction) -> bool:
    return isinstance(prediction, BoxPrediction) and bool((prediction.scores >= SCORE).any())


def _of_objects(one: BoxPrediction, other: BoxPrediction) -> dict[str, float]:
    """Compares each object with the one of the same class that overlaps it most."""
    worst = {"objects": 0.0, "1 - IoU": 0.0, "score": 0.0}
    overlap = iou(one.boxes.astype(np.float64), other.boxes.astype(np.float64))
    overlap[one.labels[:, None] != other.labels] = 0
    pairs: list[tuple[int, int]] = []
    for side, scores in ((0, one.scores), (1, other.scores)):
        rows = overlap.T if side else overlap
        for row in np.flatnonzero(scores >= SCORE).tolist():
            partner = int(rows[row].argmax()) if rows.shape[1] else -1
            if partner < 0 or rows[row, partner] < 0.5:
                worst["objects"] += 1
            else:
                pairs.append((partner, row) if side else (row, partner))
    for ours, theirs in pairs:
        worst["1 - IoU"] = max(worst["1 - IoU"], 1 - float(overlap[ours, theirs]))
        worst["score"] = max(worst["score"], abs(float(one.scores[ours] - other.scores[theirs])))
    if one.masks is None or other.masks is None:
        return worst
    return worst | {"mask": _of_cutouts([(one.masks[ours], other.masks[theirs]) for ours, theirs in pairs], one.image)}


def _of_cutouts(pairs: Sequence[tuple[Cutout, Cutout]], image: ImageArray) -> float:
    """Returns the share of the pixels of all objects that differ."""
    different, total = 0, 0
    for pair in pairs:
        ours, theirs = (_on_canvas(each, image.shape[:2]) for each in pair)
        different, total = different + int((ours ^ theirs).sum()), total + int(ours.sum())
    return different / max(total, 1)


def _on_canvas(cutout: Cutout, size: tuple[int, ...]) -> NDArray[np.bool_]:
    canvas = np.zeros(size, bool)
    height, width = cutout.pixels.shape
    canvas[cutout.top : cutout.top + height, cutout.left : cutout.left + width] = cutout.pixels
    return canvas


def _probabilities(predictor: AnyPredictor, image: ImageArray) -> NDArray[np.float32]:
    assert isinstance(predictor, MaskPredictor)
    return predictor.logits(image).softmax(0).numpy()


def _largest(differences: NDArray[np.floating]) -> float:
    return float(np.abs(differences).max(initial=0.0))


@torch.inference_mode()
def milliseconds(predictor: AnyPredictor, image: Source) -> float:
    """Returns how long one image takes in the network alone, median."""
    (batch,) = predictor.loader.batches([image], 1, "error")
    pixels = predictor.stack(batch)
    times = []
    for _ in range(RUNS + 2):
        start = time.perf_counter()
        predictor.network.head.predict(predictor.network(pixels))
        times.append(time.perf_counter() - start)
    return 1000 * median(times[2:])
