"""Bins of confidence, whose error is that of the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnet_tl.metrics.calibration import calibration_error, confidence_bins, overconfidence
from tests.metrics.by_hand import measure


def test_the_error_is_the_metrics() -> None:
    probabilities = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)).mul(2).softmax(1)
    targets = torch.multinomial(probabilities, 1, generator=torch.Generator().manual_seed(1))[:, 0]
    confidence, predicted = probabilities.max(1)
    bins = confidence_bins(confidence.numpy(), (predicted == targets).numpy())
    assert bins.sum(0) == pytest.approx([200, int((predicted == targets).sum()), float(confidence.sum())], rel=1e-6)
    assert calibration_error(bins) == pytest.approx(measure(probabilities, targets).compute()["ece"], abs=1e-6)


def test_confidence_above_accuracy_is_positive() -> None:
    bins = confidence_bins(np.array([1.0, 0.9, 0.0], np.float32), np.array([True, False, False]))
    assert overconfidence(bins) == pytest.approx(0.3)
    assert calibration_error(bins) == pytest.approx(0.3)
