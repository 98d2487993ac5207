"""Which detections hit which objects, by COCO's rule: the best first, each to the free object of its class that it
overlaps most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_tl.structures.evaluation import BoxEvaluation

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)


class Matches(NamedTuple):
    """At T thresholds of the IoU, of D detections and M objects.

    targets: `[T, D]`, the object that a detection hits; -1: none.
    ignored: `[T, D]`, detections that hit none but lie in a crowd, which count neither as right nor as wrong.
    """

    targets: Integers
    ignored: Flags

    @property
    def hits(self) -> Flags:
        return self.targets >= 0

    def found(self, objects: int) -> Flags:
        """Returns which of M objects were hit, `[T, M]`."""
        found = np.zeros((len(self.targets), objects + 1), np.bool_)
        np.put_along_axis(found, self.targets, True, axis=1)  # -1 is the column that is dropped
        return found[:, :-1]


def match(evaluation: BoxEvaluation, thresholds: Sequence[float] = COCO_THRESHOLDS) -> Matches:
    """Matches the detections with the objects of their class; ties go to the later object, as in COCO's tools."""
    levels = np.array(thresholds)
    targets = np.full((len(levels), len(evaluation.labels)), -1)
    ignored = np.zeros(targets.shape, np.bool_)
    for detections, objects in by_image(evaluation):
        boxes, crowd = evaluation.target_boxes[objects], evaluation.target_crowd[objects]
        same = evaluation.labels[detections, None] == evaluation.target_labels[None, objects]
        overlaps = iou(evaluation.boxes[detections], boxes, crowd) * same
        free = np.repeat(~crowd[None], len(levels), 0)
        for detection, row in zip(detections, overlaps, strict=True):
            if not row.any():
                continue
            best = _last_argmax(np.where(free, row, -1))
            hit = row[best] * free[np.arange(len(levels)), best] >= levels
            targets[hit, detection] = objects[best[hit]]
            free[hit, best[hit]] = False
            ignored[:, detection] = ~hit & ((row * crowd).max() >= levels)
    return Matches(targets, ignored)


def by_image(evaluation: BoxEvaluation) -> Iterator[tuple[Integers, Integers]]:
    """Yields the detections, best first, and the objects of each image that has both, by their indices."""
    first, first_target = (
        np.searchsorted(image, np.arange(len(evaluation) + 1)) for image in (evaluation.image, evaluation.target_image)
    )
    for index in range(len(evaluation)):
        detections = np.arange(first[index], first[index + 1])
        objects = np.arange(first_target[index], first_target[index + 1])
        if len(detections) and len(objects):
            yield detections[np.argsort(-evaluation.scores[detections], kind="stable")], objects


def iou(boxes: Floats, targets: Floats, crowd: Flags | None = None) -> Floats:
    """Computes the IoU `[D, M]` of boxes `[D, 4]` and `[M, 4]`; with a crowd, the share of the box that is in it."""
    low = np.maximum(boxes[:, None, :2], targets[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], targets[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    area, target_area = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, targets))
    union = area[:, None] + target_area[None] - shared
    if crowd is not None:
        union = np.where(crowd[None], area[:, None], union)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def precision_recall(scores: Floats, hits: Flags, objects: int) -> Floats:
    """Returns the highest precision `[101]` of one class at recalls of at least 0, 0.01, ... 1, as COCO's tools do.

    Args:
        scores, hits: of the class's detections, without ignored ones. objects: how many there are to find.
    """
    right = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    index = np.searchsorted(right / objects, RECALLS, side="left")
    return np.append(precision, 0.0)[index]


def class_counts(evaluation: BoxEvaluation) -> Integers:
    """Returns how many objects, without crowds, each class has: `[K]`."""
    return np.bincount(evaluation.target_labels[~evaluation.target_crowd], minlength=len(evaluation.classes))


def _last_argmax(values: Floats) -> Integers:
    return values.shape[1] - 1 - values[:, ::-1].argmax(1)
