"""Bootstrap confidence intervals: the score of as many images, resampled with replacement, many times.

An interval holds 95 % of the resampled scores (percentile method; Efron 1979). It is seeded: equal predictions give
equal intervals. It is too narrow for few images, or if predictions are all right or all wrong, and it does not cover
the variation between training runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0
CHUNK = 2**21
"""Images times resamples held at once (8 MiB: they stay in the processor's cache)."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


def accuracy_interval(correct: int, images: int) -> tuple[float, float]:
    """Returns (low, high) of the accuracy."""
    # The number of correct images in a resample is binomial, so there is no need to draw image by image.
    return percentiles(np.random.default_rng(SEED).binomial(images, correct / images, RESAMPLES) / images)


def mean_average_precision_interval(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> tuple[float, float]:
    """Returns (low, high) of the mean average precision, from probabilities and multi-hot targets `[N, K]`.

    The mean of a resample is over the classes that occur in it. NaN if no class occurs at all.
    """
    if not targets.any():
        return float("nan"), float("nan")
    rng, chunk = np.random.default_rng(SEED), max(CHUNK // len(targets), 1)
    scores = []
    for start in range(0, RESAMPLES, chunk):
        counts = resample(rng, len(targets), min(chunk, RESAMPLES - start))
        scores.append(mean_average_precisions(probabilities, targets, counts))
    return percentiles(np.concatenate(scores))


def weighted_average_precision(scores: NDArray[np.float32], targets: NDArray[np.bool_], counts: Counts) -> Floats:
    """Computes the average precision `[R]` of one class in each of R resamples; NaN where the class was not drawn.

    Args:
        scores: `[N]`.
        targets: `[N]`; the class must occur.
        counts: `[N, R]`, how often each image was drawn.
    """
    # Lower the threshold from score to score; images of equal score form one step. The area grows only at steps that
    # add a positive image, so cumulative sums are formed at those steps alone.
    order = np.argsort(-scores, kind="stable")
    drawn, step_of = counts[order], np.cumsum(np.diff(scores[order], prepend=np.inf) != 0)
    positives = np.flatnonzero(targets[order])
    steps, first = np.unique(step_of[positives], return_index=True)
    ends = np.searchsorted(step_of, steps, side="right")
    predicted = np.add.reduceat(drawn[: ends[-1]], np.concatenate([[0], ends[:-1]]), axis=0).cumsum(0)
    gained = np.add.reduceat(drawn[positives], first, axis=0)
    correct = gained.cumsum(0)
    area = (gained * (correct / np.maximum(predicted, 1))).sum(0)
    return np.divide(area, correct[-1], out=np.full(len(area), np.nan), where=correct[-1] > 0)


def resample(rng: np.random.Generator, images: int, resamples: int) -> Counts:
    """Draws as many images with replacement, `resamples` times. Returns `[images, resamples]`, how often each image
    was drawn."""
    counts = np.empty((images, resamples), dtype=np.int32)
    for column in counts.T:
        column[:] = np.bincount(rng.integers(images, size=images), minlength=images)
    return counts


def mean_average_precisions(probabilities: NDArray[np.float32], targets: NDArray[np.bool_], counts: Counts) -> Floats:
    """Returns the mean over classes in each resample, `[R]`, without the resamples in which no class occurs."""
    classes = np.flatnonzero(targets.any(0))
    each = np.stack([weighted_average_precision(probabilities[:, k], targets[:, k], counts) for k in classes])
    return np.nanmean(each[:, ~np.isnan(each).all(0)], axis=0)


def percentiles(scores: Floats) -> tuple[float, float]:
    """Returns (low, high), between which the middle 95 % of `scores` lie."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
