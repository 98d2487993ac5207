"""Bootstrap confidence intervals: the score of as many images, resampled with replacement, many times.

An interval holds 95 % of the resampled scores (percentile method; Efron 1979). It is seeded: equal predictions give
equal intervals. It is too narrow for few images, and it does not cover the variation between training runs. The
accuracy of predictions that are all right or all wrong has the exact binomial interval (Clopper and Pearson 1934).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.ranking import Ranking

RESAMPLES = 1000
SEED = 0
CHUNK = 2**21
"""Images times resamples held at once (8 MiB: they stay in the processor's cache)."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]


def accuracy_interval(correct: int, images: int) -> tuple[float, float]:
    """Returns (low, high) of the accuracy."""
    if correct in (0, images):
        certain = 0.025 ** (1 / images)
        return (certain, 1.0) if correct else (0.0, 1 - certain)
    # The number of correct images in a resample is binomial, so there is no need to draw image by image.
    return percentiles(np.random.default_rng(SEED).binomial(images, correct / images, RESAMPLES) / images)


def mean_average_precision_interval(
    probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> tuple[float, float]:
    """Returns (low, high) of the mean average precision, from probabilities and multi-hot targets `[N, K]`.

    The mean is over the classes of the whole set, see `completed`. NaN if no class occurs at all.
    """
    if not targets.any():
        return float("nan"), float("nan")
    scores = resampled(len(targets), lambda drawn: {"map": mean_average_precisions(probabilities, targets, drawn)})
    return percentiles(scores["map"])


def resampled(
    images: int, scores: Callable[[Counts], Mapping[str, NDArray[Any]]], resamples: int = RESAMPLES
) -> dict[str, NDArray[Any]]:
    """Computes scores by name, `[..., R]`, in R seeded resamples of the images.

    Args:
        scores: computes them in some resamples, from how often each image was drawn `[images, r]`.
    """
    rng, chunk = np.random.default_rng(SEED), max(CHUNK // images, 1)
    parts = [scores(resample(rng, images, min(chunk, resamples - start))) for start in range(0, resamples, chunk)]
    return {name: np.concatenate([part[name] for part in parts], -1) for name in parts[0]}


def resample(rng: np.random.Generator, images: int, resamples: int) -> Counts:
    """Draws as many images with replacement, `resamples` times. Returns `[images, resamples]`, how often each image
    was drawn."""
    counts = np.empty((images, resamples), dtype=np.int32)
    for column in counts.T:
        column[:] = np.bincount(rng.integers(images, size=images), minlength=images)
    return counts


def mean_average_precisions(probabilities: NDArray[np.float32], targets: NDArray[np.bool_], counts: Counts) -> Floats:
    """Returns the mean over classes in each resample, `[R]`."""
    classes = np.flatnonzero(targets.any(0))

    def each(drawn: Counts) -> Floats:
        return np.stack([Ranking.of(probabilities[:, k], targets[:, k], drawn).average_precision() for k in classes])

    mean: Floats = completed(each(counts), each(once(len(targets)))).mean(0)
    return mean


def once(images: int) -> Counts:
    """Returns the resample `[images, 1]` that is the set itself."""
    return np.ones((images, 1), dtype=np.int32)


def completed(scores: Floats, whole: Floats) -> Floats:
    """Returns scores by class in resamples, `[K, R]`, where a class that a resample lacks (NaN) keeps its score in the
    whole set, `[K, 1]`: means over classes are then over the same classes in each resample."""
    return np.where(np.isnan(scores), whole, scores)


def percentiles(scores: Floats) -> tuple[float, float]:
    """Returns (low, high), between which the middle 95 % of `scores` lie, without those that are NaN."""
    known = scores[~np.isnan(scores)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
