"""Why detections are wrong: TIDE's kinds of errors (arXiv:2008.08115), and what each costs in average precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.box_matches import Matches, by_image, class_counts, iou, match, precision_recall
from resnet_tl.structures.evaluation import BoxEvaluation

FOREGROUND, BACKGROUND = 0.5, 0.1
"""The IoU from which a detection is right, and up to which it is on the background."""

KINDS = ("class", "location", "both", "duplicate", "background")
"""What is wrong with a detection: the class of a well-placed box; the place of a box of the right class; both; a better
detection has found the object; nothing is there. An object that no detection hits or nearly hits is missed."""

Integers = NDArray[np.int64]


class Errors(NamedTuple):
    """Of D detections and M objects.

    kinds: `[D]`, the kind of error by its place in `KINDS`; -1 for hits and for detections in a crowd.
    targets: `[D]`, the object that the detection hits or mistakes; -1: none.
    missed: `[M]`, objects that no detection hits and no error of class or location is about.
    costs: by kind, and `missed`: how much mAP at IoU 0.5, 0...1, would rise without these errors.
    """

    kinds: Integers
    targets: Integers
    missed: NDArray[np.bool_]
    costs: dict[str, float]


def find_errors(evaluation: BoxEvaluation) -> Errors:
    matches = match(evaluation, [FOREGROUND])
    found = matches.found(len(evaluation.target_labels))[0]
    kinds, targets = _kinds(evaluation, matches, found)
    wrong = ~matches.hits[0] & ~matches.ignored[0]
    kinds = np.where(wrong, kinds, -1)
    repairable = wrong & (kinds >= 0) & (kinds <= 1) & (targets >= 0)
    repairable[repairable] &= ~found[targets[repairable]]
    missed = ~found & ~evaluation.target_crowd
    missed[targets[repairable]] = False
    costs = _costs(evaluation, matches, kinds, targets, repairable, missed)
    return Errors(kinds, np.where(matches.hits[0], matches.targets[0], targets), missed, costs)


def _kinds(evaluation: BoxEvaluation, matches: Matches, found: NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Returns of each detection what would be wrong with it if it were no hit, and the object it mistakes."""
    kinds = np.full(len(evaluation.labels), KINDS.index("background"))
    targets = np.full(len(evaluation.labels), -1)
    for detections, every in by_image(evaluation):
        objects = every[~evaluation.target_crowd[every]]
        if not len(objects):
            continue
        overlaps = iou(evaluation.boxes[detections], evaluation.target_boxes[objects])
        same = evaluation.labels[detections, None] == evaluation.target_labels[None, objects]
        of_class, of_others = overlaps * same, overlaps * ~same
        taken = of_class * found[objects]
        # The order of tidecv: the first that applies.
        tests = [
            ((of_class.max(1) >= BACKGROUND) & (of_class.max(1) <= FOREGROUND), "location", of_class),
            (of_others.max(1) >= FOREGROUND, "class", of_others),
            (taken.max(1) >= FOREGROUND, "duplicate", taken),
            (overlaps.max(1) > BACKGROUND, "both", overlaps),
        ]
        for applies, kind, table in reversed(tests):
            kinds[detections[applies]] = KINDS.index(kind)
            targets[detections[applies]] = objects[table.argmax(1)[applies]]
    return kinds, targets


def _costs(
    evaluation: BoxEvaluation,
    matches: Matches,
    kinds: Integers,
    targets: Integers,
    repairable: NDArray[np.bool_],
    missed: NDArray[np.bool_],
) -> dict[str, float]:
    hits, counted, objects = matches.hits[0], ~matches.ignored[0], class_counts(evaluation)
    now = _mean_precision(evaluation.labels, evaluation.scores, hits, counted, objects)
    costs, best_of_all = {}, _best_of_target(evaluation.scores, targets, repairable)
    for number, kind in enumerate(KINDS):
        # Repaired, a detection is a hit, if it is the best one about an object that nothing hits; else it is gone.
        best = best_of_all & (kinds == number)
        labels = evaluation.labels.copy()
        labels[best] = evaluation.target_labels[targets[best]]
        remaining = counted & ((kinds != number) | best)
        costs[kind] = _mean_precision(labels, evaluation.scores, hits | best, remaining, objects) - now
    lost = np.bincount(evaluation.target_labels[missed], minlength=len(objects))
    occurring = objects > 0
    left = objects - lost
    costs["missed"] = _mean_precision(evaluation.labels, evaluation.scores, hits, counted, left, occurring) - now
    return {kind: max(cost, 0.0) for kind, cost in costs.items()}


def _best_of_target(scores: NDArray[np.float64], targets: Integers, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which of the chosen detections is the first and best of its object, `[D]`."""
    order = np.flatnonzero(chosen)[np.argsort(-scores[chosen], kind="stable")]
    _, first = np.unique(targets[order], return_index=True)
    best = np.zeros(len(chosen), np.bool_)
    best[order[first]] = True
    return best


def _mean_precision(
    labels: Integers,
    scores: NDArray[np.float64],
    hits: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    objects: Integers,
    classes: NDArray[np.bool_] | None = None,
) -> float:
    """Returns the mean AP over `classes` `[K]`, those with objects by default; 0 for one without objects left."""
    each = []
    for k in np.flatnonzero(objects > 0 if classes is None else classes):
        chosen = counted & (labels == k)
        each.append(precision_recall(scores[chosen], hits[chosen], objects[k]).mean() if objects[k] else 0.0)
    return float(np.mean(each)) if each else 0.0
