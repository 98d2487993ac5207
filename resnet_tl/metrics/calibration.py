"""How well confidences agree with accuracies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.multiclass import BINS

Floats = NDArray[np.float64]


def confidence_bins(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> Floats:
    """Returns `[BINS, 3]`: of each bin of equal width (lo, hi] the predictions, the right ones, and their summed
    confidence.

    Args:
        confidence: `[N]`, 0...1. right: `[N]`.
    """
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64), 1, BINS) - 1
    columns = (np.ones(len(bins)), right.astype(np.float64), confidence.astype(np.float64))
    return np.stack([np.bincount(bins, column, BINS) for column in columns], 1)


def calibration_error(bins: Floats) -> float:
    """Returns the expected calibration error (arXiv:1706.04599, section 2) from `confidence_bins` of at least
    one prediction."""
    predictions, right, confidence = bins.T
    return float(np.abs(right - confidence).sum() / predictions.sum())


def overconfidence(bins: Floats) -> float:
    """Returns mean confidence minus accuracy, from `confidence_bins` of at least one prediction."""
    predictions, right, confidence = bins.T
    return float((confidence - right).sum() / predictions.sum())
