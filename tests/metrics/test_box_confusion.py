"""Pairs of detections and objects, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.metrics.box_confusion import pairs
from resnet_tl.metrics.box_matches import iou, match
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.metrics.box_sets import box_set


def by_loops(e: BoxEvaluation, scores: list[float]) -> np.ndarray:
    """Counts (true, predicted), K for none; first those of the right class, best first, then the rest."""
    table = np.zeros((len(e.classes) + 1, len(e.classes) + 1), np.int64)
    for image in range(len(e)):
        free = set(np.flatnonzero(e.target_image == image).tolist())
        detections = [d for d in np.flatnonzero(e.image == image).tolist() if e.scores[d] >= scores[e.labels[d]]]
        detections.sort(key=lambda d: -e.scores[d])
        for right in (True, False):
            for d in list(detections):
                overlaps = {
                    t: float(iou(e.boxes[[d]], e.target_boxes[[t]])[0, 0])
                    for t in sorted(free)
                    if (e.target_labels[t] == e.labels[d]) == right
                }
                if overlaps and max(overlaps.values()) >= 0.5:
                    best = max(overlaps, key=lambda t: overlaps[t])
                    table[e.target_labels[best], e.labels[d]] += 1
                    free.remove(best)
                    detections.remove(d)
        for d in detections:
            table[-1, e.labels[d]] += 1
        for t in free:
            table[e.target_labels[t], -1] += 1
    return table


@pytest.mark.parametrize("scores", [0.0, 0.5, [0.2, 0.9, 0.0, 0.5]])
def test_the_confusions_are_those_of_loops(scores: float | list[float]) -> None:
    evaluation = box_set(images=500)
    found = pairs(evaluation, match(evaluation, [0.5]), scores)
    each = np.broadcast_to(scores, 4)
    true, predicted = found.classes(evaluation)
    table = np.zeros((5, 5), np.int64)
    np.add.at(table, (true, predicted), 1)
    assert table.tolist() == by_loops(evaluation, each.tolist()).tolist()
    assert table[:4].sum() == len(evaluation.target_labels)
    assert table[:, :4].sum() == (evaluation.scores >= each[evaluation.labels]).sum()
    images = found.images(evaluation)
    alone = found.objects < 0
    assert (images[alone] == evaluation.image[found.detections[alone]]).all()
    assert (images[~alone] == evaluation.target_image[found.objects[~alone]]).all()
