"""The scores from which on detections are worth showing: where F1 is best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resnet_tl.metrics.box_matches import Matches, class_counts
from resnet_tl.structures.evaluation import BoxEvaluation

LEAST = 20
"""Objects from which a class has a score of its own: with fewer, it is too uncertain (in simulations, the score of all
classes together gave a better F1 on new images)."""


def best_scores(evaluation: BoxEvaluation, matches: Matches) -> NDArray[np.float64]:
    """Returns the score `[K]` from which on the detections of a class have the highest F1, at the first threshold of
    `matches`; that of all classes together for a class with fewer than `LEAST` objects, or without hits."""
    of_all = best_score(evaluation, matches)
    counted = np.flatnonzero(~matches.ignored[0])
    labels, each = evaluation.labels[counted], np.full(len(evaluation.classes), of_all)
    for k, objects in enumerate(class_counts(evaluation).tolist()):
        chosen = counted[labels == k]
        if objects >= LEAST and matches.hits[0][chosen].any():
            each[k] = _best(evaluation.scores[chosen], matches.hits[0][chosen], objects)
    return each


def best_score(evaluation: BoxEvaluation, matches: Matches) -> float:
    """Returns the score from which on detections have the highest F1, over all classes, at the first threshold of
    `matches`; 0 without hits."""
    counted, objects = ~matches.ignored[0], int((~evaluation.target_crowd).sum())
    return _best(evaluation.scores[counted], matches.hits[0][counted], objects)


def from_scores(evaluation: BoxEvaluation, scores: ArrayLike) -> NDArray[np.bool_]:
    """Returns which of D detections have at least the score `scores`; one, or `[K]` by class."""
    return evaluation.scores >= np.broadcast_to(scores, len(evaluation.classes))[evaluation.labels]


def _best(scores: NDArray[np.float64], hits: NDArray[np.bool_], objects: int) -> float:
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(hits[order]) / (np.arange(1, len(order) + 1) + objects)
    f1[:-1][np.diff(scores[order]) == 0] = 0  # equal scores stand or fall together
    return float(scores[order[f1.argmax()]]) if f1.any() else 0.0
