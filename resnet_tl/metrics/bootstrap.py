"""Intervals by the bootstrap: the score of the same number of pictures drawn anew with replacement, many times.

95 % of the resampled scores lie inside (percentile method; Efron 1979). Seeded: the same answers, the same interval.
Few pictures, or answers all right or all wrong, make it too narrow; it knows nothing of other training runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0
CHUNK = 2**23
"""Pictures times resamples held at once (64 MiB an array of them)."""

Floats = NDArray[np.float64]


def accuracy_interval(right: int, pictures: int) -> tuple[float, float]:
    """(low, high). How many of the drawn pictures are right is binomial, so nothing needs to be drawn one by one."""
    return _middle(np.random.default_rng(SEED).binomial(pictures, right / pictures, RESAMPLES) / pictures)


def mean_average_precision_interval(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> tuple[float, float]:
    """(low, high) of the mean over classes, from probabilities and multi-hot targets `[N, K]`; a resample's mean is
    over the classes that occur in it. NaN when no class occurs at all."""
    if not targets.any():
        return float("nan"), float("nan")
    rng, pictures = np.random.default_rng(SEED), len(targets)
    size = max(CHUNK // pictures, 1)
    scores = [
        _mean_average_precision(probabilities, targets, rng.multinomial(pictures, np.full(pictures, 1 / pictures), n))
        for n in np.diff([*range(0, RESAMPLES, size), RESAMPLES])
    ]
    return _middle(np.concatenate(scores))


def weighted_average_precision(
    scores: NDArray[np.float32], true: NDArray[np.bool_], counts: NDArray[np.int64]
) -> Floats:
    """The average precision of one class in each resample, `[R]`; NaN where the class does not occur.

    scores, true: `[N]`; counts `[R, N]`: how often a picture was drawn. Pictures of equal score are one step.
    """
    order = np.argsort(-scores, kind="stable")
    step_ends = np.flatnonzero(np.diff(scores[order], append=-1))
    drawn = counts[:, order]
    said, right = drawn.cumsum(1)[:, step_ends], (drawn * true[order]).cumsum(1)[:, step_ends]
    precision = right / np.maximum(said, 1)
    area = (np.diff(right, axis=1, prepend=0) * precision).sum(1)
    there = right[:, -1]
    return np.divide(area, there, out=np.full(len(area), np.nan), where=there > 0)


def _mean_average_precision(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_], counts: NDArray[np.int64]
) -> Floats:
    """`[R]`, without the resamples in which no class occurs."""
    classes = np.flatnonzero(targets.any(0))
    each = np.stack([weighted_average_precision(probabilities[:, k], targets[:, k], counts) for k in classes])
    return np.nanmean(each[:, ~np.isnan(each).all(0)], axis=0)


def _middle(scores: Floats) -> tuple[float, float]:
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
