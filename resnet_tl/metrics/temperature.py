"""The temperature that makes a classifier's confidence agree with its accuracy (arXiv:1706.04599, section 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from resnet_tl.metrics.calibration import calibration_error, confidence_bins
from resnet_tl.structures.decisions import TEMPERATURES
from resnet_tl.structures.evaluation import ClassEvaluation

Floats = NDArray[np.floating]


def fit_temperature(evaluation: ClassEvaluation) -> list[float]:
    """Returns the temperature with the lowest negative log likelihood: one value; for several labels one for each
    class, 1 for a class without images."""
    probabilities, targets = evaluation.probabilities, evaluation.targets
    if not evaluation.multi_label:
        return [_fit(probabilities, np.eye(len(evaluation.classes))[targets])]
    outcomes, truth = np.stack([probabilities, 1 - probabilities], -1), np.stack([targets, ~targets.astype(bool)], -1)
    return [_fit(outcomes[:, k], truth[:, k]) if targets[:, k].any() else 1.0 for k in range(len(evaluation.classes))]


def calibration_of(evaluation: ClassEvaluation, probabilities: Floats) -> float:
    """Returns the expected calibration error of an evaluation's probabilities `[N, K]`, over images; for several labels
    over all labels of all images."""
    if evaluation.multi_label:
        confidence, right = probabilities.ravel(), evaluation.targets.ravel() > 0
    else:
        confidence, right = probabilities.max(1), evaluation.probabilities.argmax(1) == evaluation.targets
    return calibration_error(confidence_bins(confidence.astype(np.float32), right))


def _fit(probabilities: Floats, truth: Floats) -> float:
    """Fits on distributions `[N, K]` and their true outcomes `[N, K]`, 1 or 0.

    One more image, which shows each class equally likely, counts as well: where all images are right, the likelihood
    alone would make every prediction certain.
    """
    images, classes = probabilities.shape
    soft = (truth * images + 1 / classes) / (images + 1)
    logs = np.log(probabilities.astype(np.float64).clip(np.finfo(np.float32).tiny))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - (soft * scaled).sum(1)).mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x).clip(*TEMPERATURES))
