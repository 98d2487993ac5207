"""COCO's mAP in resamples of the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.bootstrap import RESAMPLES, SEED, Counts, completed, once, percentiles, resample
from resnet_tl.metrics.box_matches import COCO_THRESHOLDS, RECALLS, class_counts, match
from resnet_tl.structures.evaluation import BoxEvaluation

WORK = 10**9
"""Detections times thresholds times resamples at most: about 20 s; large sets are resampled less often."""
LEAST = 100
"""Resamples at least."""

Floats = NDArray[np.float64]


def mean_precision_interval(evaluation: BoxEvaluation) -> tuple[float, float]:
    """Returns (low, high) of mAP: the middle 95 % of at most 1,000 seeded resamples of the images; NaN without
    objects."""
    if not class_counts(evaluation).any():
        return float("nan"), float("nan")
    counts = resample(np.random.default_rng(SEED), len(evaluation), resamples_of(evaluation))
    return percentiles(mean_precisions(evaluation, counts))


def resamples_of(evaluation: BoxEvaluation) -> int:
    """Returns how often a set is resampled."""
    return int(np.clip(WORK // (len(COCO_THRESHOLDS) * max(len(evaluation.labels), 1)), LEAST, RESAMPLES))


def mean_precisions(evaluation: BoxEvaluation, counts: Counts) -> Floats:
    """Computes mAP `[R]` in R resamples, the mean over the classes of the whole set, see `completed`.

    Args:
        counts: `[N, R]`, how often each image was drawn.
    """
    drawn = np.concatenate([counts, once(len(evaluation))], 1)
    each = _class_precisions(evaluation, drawn)
    mean: Floats = completed(each[:, :-1], each[:, -1:]).mean(0)
    return mean


def _class_precisions(evaluation: BoxEvaluation, counts: Counts) -> Floats:
    """Computes the AP `[K, R]` of each class that occurs in the set, NaN where it does not in a resample."""
    matches, each = match(evaluation), []
    for k in np.flatnonzero(class_counts(evaluation)):
        detections = np.flatnonzero(evaluation.labels == k)
        detections = detections[np.argsort(-evaluation.scores[detections], kind="stable")]
        single = (evaluation.target_labels == k) & ~evaluation.target_crowd
        objects = np.bincount(evaluation.target_image[single], minlength=len(evaluation)) @ counts
        by_threshold = []
        for hits, ignored in zip(matches.hits[:, detections], matches.ignored[:, detections], strict=True):
            drawn = counts[evaluation.image[detections[~ignored]]]
            by_threshold.append(_precisions(drawn, hits[~ignored], objects))
        each.append(np.where(objects > 0, np.mean(by_threshold, 0), np.nan))
    return np.array(each)


def _precisions(drawn: Counts, hits: NDArray[np.bool_], objects: NDArray[np.int64]) -> Floats:
    """Returns the AP `[R]` of one class, from how often each detection `[D, R]`, best first, was drawn."""
    places = np.flatnonzero(hits)
    if not len(places):
        return np.zeros(drawn.shape[1])
    # The highest precision at a recall is at a hit: only there are sums needed.
    starts = np.concatenate([[0], places[:-1] + 1])
    predicted = np.add.reduceat(drawn[: places[-1] + 1], starts, axis=0).cumsum(0)
    right = drawn[places].cumsum(0)
    precision = right / np.maximum(predicted, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = right / np.maximum(objects, 1)
    padded = np.concatenate([precision, np.zeros((1, drawn.shape[1]))])
    index = np.stack([np.searchsorted(column, RECALLS, side="left") for column in recall.T], 1)
    return np.take_along_axis(padded, index, 0).mean(0)
