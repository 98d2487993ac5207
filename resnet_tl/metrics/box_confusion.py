"""Detections against objects from a score on: what was taken for what, what was missed, what is not there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnet_tl.metrics.box_errors import FOREGROUND
from resnet_tl.metrics.box_matches import Matches, by_image, iou
from resnet_tl.metrics.box_scores import from_scores
from resnet_tl.structures.evaluation import BoxEvaluation

Integers = NDArray[np.int64]


class Pairs(NamedTuple):
    """Detections that count, and objects.

    detections: `[P]`, their indices, -1 for an object that was missed. objects: `[P]`, -1 for a false alarm.
    """

    detections: Integers
    objects: Integers

    def classes(self, evaluation: BoxEvaluation) -> tuple[Integers, Integers]:
        """Returns the true and the predicted class `[P]` of each pair, K for none."""
        none = len(evaluation.classes)
        true = np.append(evaluation.target_labels, none)[self.objects]
        return true, np.append(evaluation.labels, none)[self.detections]

    def images(self, evaluation: BoxEvaluation) -> Integers:
        """Returns the image of each pair, `[P]`."""
        of_object = np.append(evaluation.target_image, -1)[self.objects]
        return np.where(self.objects >= 0, of_object, np.append(evaluation.image, -1)[self.detections])


def pairs(evaluation: BoxEvaluation, matches: Matches, scores: ArrayLike) -> Pairs:
    """Pairs each detection with the object that it hits; then, the best first, the others with the free object of
    another class that they overlap most, by an IoU of 0.5 or more. Crowds and what is in them are left out.

    Args:
        scores: from which on detections count; one, or `[K]` by class.
    """
    chosen = from_scores(evaluation, scores) & ~matches.ignored[0]
    hit = chosen & matches.hits[0]
    partner = np.where(hit, matches.targets[0], -1)
    free = ~evaluation.target_crowd
    free[partner[hit]] = False
    for detections, objects in by_image(evaluation):
        wrong = detections[chosen[detections] & ~hit[detections]]
        overlaps = iou(evaluation.boxes[wrong], evaluation.target_boxes[objects])
        for detection, row in zip(wrong, overlaps, strict=True):
            others = np.where(
                free[objects] & (evaluation.target_labels[objects] != evaluation.labels[detection]), row, 0
            )
            if others.max() >= FOREGROUND:
                partner[detection] = objects[others.argmax()]
                free[partner[detection]] = False
    detected, missed = np.flatnonzero(chosen), np.flatnonzero(free)
    return Pairs(np.append(detected, np.full(len(missed), -1)), np.append(partner[detected], missed))
