"""Sets of classes, and intervals of numbers, that hold the true one with a known probability (split conformal
prediction, arXiv:2107.07511)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9


def possible_from(of_truth: NDArray[np.floating]) -> float:
    """Returns the probability from which a class is in an image's set, so that sets of images like these hold the true
    class with a probability of `COVERAGE` at least: the quantile (1 - COVERAGE)(N + 1) / N of `of_truth` `[N]`, the
    probabilities of the true classes of images that the network was not trained on. With fewer than 9 of them, 0."""
    missed = math.floor((len(of_truth) + 1) * (1 - COVERAGE) + 1e-9)
    return float(np.sort(of_truth)[missed - 1]) if missed else 0.0


def images_needed(coverage: float) -> int:
    """Returns of how many images, at least, `margins_of` finds margins."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def margins_of(predictions: NDArray[np.floating], targets: NDArray[np.floating], coverage: float) -> list[float] | None:
    """Returns by how much intervals reach beyond each predicted number, or beyond its lowest and highest quantile, so
    that those of images like these hold the true one with a probability of `coverage` at least: the (N + 1) coverage-th
    smallest of how far N true numbers, of images that the network was not trained on, lie outside (equation 6 of
    arXiv:1905.03222, conformalised quantile regression; of single numbers the absolute residual).

    predictions: `[N, T, Q]`. targets: `[N, T]`. Returns T margins; None of too few images: see `images_needed`.
    """
    if len(targets) < images_needed(coverage):
        return None
    rank = math.ceil((len(targets) + 1) * coverage - 1e-9)
    truth = targets.astype(np.float64)
    outside = np.maximum(predictions[..., 0] - truth, truth - predictions[..., -1])
    margins: list[float] = np.sort(outside, 0)[rank - 1].tolist()
    return margins
