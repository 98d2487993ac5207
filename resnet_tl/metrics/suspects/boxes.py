"""Boxes that are probably wrong: of another class, missed, spurious or badly placed.

An object is labelled with its class, and a detection that no object is under with one more class, nothing. How probable
each class and nothing is at such a place follows from the scores of the detections there. So confident learning finds
wrong labels of places as it finds those of images, and its thresholds fit the scores of any detector.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from resnet_tl.metrics.box_matches import by_image, iou
from resnet_tl.metrics.suspects.labels import probably_wrong
from resnet_tl.metrics.suspects.suspect import NOTHING, Box, Suspect
from resnet_tl.structures.evaluation import BoxEvaluation

SAME_PLACE, NEAR = 0.5, 0.1
"""The IoU from which a detection is where an object is, and from which it may be about it, in another place."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def box_suspects(evaluation: BoxEvaluation) -> list[Suspect]:
    """Returns the objects that are probably wrong, and the detections where an object is probably missing.

    An object that seems spurious is badly placed if its class is likely near it, where no object is. Crowds, and what
    lies in them, are never suspects.
    """
    e, names, nothing = evaluation, [*evaluation.classes, NOTHING], len(evaluation.classes)
    objects = np.flatnonzero(~e.target_crowd)
    supports, free = _supports(e)
    probabilities = _with_nothing(np.concatenate([supports[objects], _one_hot(e, free)]))
    labels = np.concatenate([e.target_labels[objects], np.full(len(free), nothing)])
    wrong = probably_wrong(labels, probabilities)
    guesses, scores = probabilities.argmax(1), 1 - probabilities[np.arange(len(labels)), labels]
    of_objects, of_places = np.split(wrong, [len(objects)])
    missed = dict.fromkeys(free[of_places].tolist())
    likely = free[guesses[len(objects) :] != nothing]
    found = []
    for i in np.flatnonzero(of_objects).tolist():
        target, given, suggested = int(objects[i]), names[labels[i]], names[guesses[i]]
        kind, box, better = "class", _box(e.target_boxes[target]), None
        if suggested == NOTHING:
            place = _best_near(e, target, likely)
            kind = "spurious"
            if place is not None:
                missed.pop(place, None)
                kind, suggested, better = "badly placed", given, _box(e.boxes[place])
        found.append(
            Suspect(kind, str(e.keys[e.target_image[target]]), given, suggested, float(scores[i]), box, better)
        )
    for place in missed:
        key, name = str(e.keys[e.image[place]]), names[e.labels[place]]
        found.append(Suspect("missed", key, NOTHING, name, float(e.scores[place]), _box(e.boxes[place])))
    return found


def _supports(e: BoxEvaluation) -> tuple[Floats, Integers]:
    """Returns the highest score of a detection of each class where each object is, `[M, K]`; and the detections that
    are where no object is, the best one of each place."""
    supports = np.zeros((len(e.target_labels), len(e.classes)))
    covered = np.zeros(len(e.labels), np.bool_)
    for detections, objects in by_image(e):
        there = iou(e.boxes[detections], e.target_boxes[objects], e.target_crowd[objects]) >= SAME_PLACE
        scores = there * e.scores[detections, None]
        for k in np.unique(e.labels[detections]):
            supports[objects, k] = scores[e.labels[detections] == k].max(0)
        covered[detections] = there.any(1)
    free = np.flatnonzero(~covered)
    best = batched_nms(*(torch.from_numpy(each[free]) for each in (e.boxes, e.scores, e.image)), SAME_PLACE)
    return supports, np.sort(free[best.numpy()])


def _one_hot(e: BoxEvaluation, detections: Integers) -> Floats:
    """Returns the scores of detections in the columns of their classes, `[D, K]`."""
    return np.eye(len(e.classes))[e.labels[detections]] * e.scores[detections, None]


def _with_nothing(scores: Floats) -> Floats:
    """Returns probabilities `[N, K + 1]`: what scores leave over is that of nothing; larger sums are scaled to 1."""
    total = scores.sum(1, keepdims=True)
    return np.concatenate([scores / np.maximum(total, 1), (1 - total).clip(0)], 1)


def _best_near(e: BoxEvaluation, target: int, likely: Integers) -> int | None:
    """Returns which of the detections has the highest score near an object of the same class."""
    places = likely[(e.image[likely] == e.target_image[target]) & (e.labels[likely] == e.target_labels[target])]
    near = places[iou(e.boxes[places], e.target_boxes[[target]])[:, 0] >= NEAR]
    return max(near.tolist(), key=e.scores.__getitem__, default=None)


def _box(corners: Floats) -> Box:
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2, y2
