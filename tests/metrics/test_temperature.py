"""The fitted temperature is the one that made logits too sure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_tl.metrics.temperature import calibration_of, fit_temperature
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation


def evaluation(probabilities: NDArray[Any], targets: NDArray[Any]) -> ClassEvaluation:
    images, classes = probabilities.shape
    names = [str(k) for k in range(classes)]
    shared = {"root": "", "split": "val", "step": 1, "absent": [], "keys": np.array([str(n) for n in range(images)])}
    thresholds = np.full(classes if targets.ndim == 2 else 0, 0.5, np.float32)
    losses = np.zeros(images, np.float32)
    return ClassEvaluation(
        classes=names, losses=losses, probabilities=probabilities.astype(np.float32), targets=targets,
        thresholds=thresholds, **shared,
    )  # fmt: skip


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_it_is_found_for_classes(temperature: float) -> None:
    draw = np.random.default_rng(0)
    true = draw.normal(0, 2, (20_000, 5))
    targets = (softmax(true).cumsum(1) < draw.random((len(true), 1))).sum(1)
    measured = evaluation(softmax(true * temperature), targets)
    (found,) = fit_temperature(measured)
    assert found == pytest.approx(temperature, rel=0.04)
    calibrated = Decisions([found]).calibrated(measured.probabilities, multi_label=False)
    assert calibration_of(measured, calibrated) < 0.015
    if temperature == 2.5:
        assert calibration_of(measured, measured.probabilities) > 0.1


def test_it_is_found_for_each_label() -> None:
    draw, temperatures = np.random.default_rng(1), np.array([0.5, 1.0, 3.0])
    true = draw.normal(-1, 2, (20_000, 3))
    targets = draw.random(true.shape) < 1 / (1 + np.exp(-true))
    measured = evaluation(1 / (1 + np.exp(-true * temperatures)), targets)
    np.testing.assert_allclose(fit_temperature(measured), temperatures, rtol=0.06)


def test_a_label_without_images_keeps_its_probabilities() -> None:
    measured = evaluation(np.full((9, 2), 0.2), np.array([[True, False]] * 9))
    assert fit_temperature(measured)[1] == 1


def test_images_that_are_all_right_do_not_make_predictions_certain() -> None:
    """By the rule of succession, N hits in a row leave a chance of about 1 in N + 1 of a miss, and half of it with two
    classes, one of which is right."""
    targets = np.arange(50) % 2
    probabilities = np.where(np.eye(2)[targets] > 0, 0.9, 0.1)
    (found,) = fit_temperature(evaluation(probabilities, targets))
    calibrated = Decisions([found]).calibrated(probabilities, multi_label=False)
    assert calibrated.max() == pytest.approx(1 - 0.5 / 51, abs=1e-3)
