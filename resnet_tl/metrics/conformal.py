"""Sets of classes that hold the true one with a known probability (split conformal prediction, arXiv:2107.07511)."""

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
