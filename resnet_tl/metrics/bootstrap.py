"""Intervals by the bootstrap: the score of the same number of images drawn anew with replacement, many times.

95 % of the resampled scores lie inside (percentile method; Efron 1979). Seeded: the same answers, the same interval.
Few images, or answers all right or all wrong, make it too narrow; it knows nothing of other training runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0
CHUNK = 2**21
"""Images times resamples held at once (8 MiB: they stay near the processor)."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


def accuracy_interval(right: int, images: int) -> tuple[float, float]:
    """(low, high). How many of the drawn images are right is binomial, so nothing needs to be drawn one by one."""
    return middle(np.random.default_rng(SEED).binomial(images, right / images, RESAMPLES) / images)


def mean_average_precision_interval(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> tuple[float, float]:
    """(low, high) of the mean over classes, from probabilities and multi-hot targets `[N, K]`; a resample's mean is
    over the classes that occur in it. NaN when no class occurs at all."""
    if not targets.any():
        return float("nan"), float("nan")
    rng, chunk = np.random.default_rng(SEED), max(CHUNK // len(targets), 1)
    scores = []
    for start in range(0, RESAMPLES, chunk):
        counts = draw(rng, len(targets), min(chunk, RESAMPLES - start))
        scores.append(_mean_average_precision(probabilities, targets, counts))
    return middle(np.concatenate(scores))


def weighted_average_precision(scores: NDArray[np.float32], true: NDArray[np.bool_], counts: Counts) -> Floats:
    """The average precision of a class that occurs, in each of R resamples: `[R]`; NaN where it was not drawn.

    scores, true: `[N]`; counts `[N, R]`: how often an image was drawn. Images of equal score are taken in one step;
    precision counts where a true one is taken, so only the sums up to those steps are formed.
    """
    order = np.argsort(-scores, kind="stable")
    drawn, step_of = counts[order], np.cumsum(np.diff(scores[order], prepend=np.inf) != 0)
    at = np.flatnonzero(true[order])
    steps, first = np.unique(step_of[at], return_index=True)
    ends = np.searchsorted(step_of, steps, side="right")
    said = np.add.reduceat(drawn[: ends[-1]], np.concatenate([[0], ends[:-1]]), axis=0).cumsum(0)
    gained = np.add.reduceat(drawn[at], first, axis=0)
    right = gained.cumsum(0)
    area = (gained * (right / np.maximum(said, 1))).sum(0)
    return np.divide(area, right[-1], out=np.full(len(area), np.nan), where=right[-1] > 0)


def draw(rng: np.random.Generator, images: int, resamples: int) -> Counts:
    """How often each image is among `images` draws with replacement: `[images, resamples]`."""
    counts = np.empty((images, resamples), dtype=np.int32)
    for column in counts.T:
        column[:] = np.bincount(rng.integers(images, size=images), minlength=images)
    return counts


def _mean_average_precision(probabilities: NDArray[np.float32], targets: NDArray[np.bool_], counts: Counts) -> Floats:
    """`[R]`, without the resamples in which no class occurs."""
    classes = np.flatnonzero(targets.any(0))
    each = np.stack([weighted_average_precision(probabilities[:, k], targets[:, k], counts) for k in classes])
    return np.nanmean(each[:, ~np.isnan(each).all(0)], axis=0)


def middle(scores: Floats) -> tuple[float, float]:
    """(low, high) of the middle 95 %."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
