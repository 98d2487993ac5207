"""Scores of unfamiliar images, and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.metrics.class_space import fit_space
from resnet_tl.metrics.outliers import SCORES, cosine, energy, fit_limits
from resnet_tl.structures.decisions import Limits


def test_energy_is_the_negative_log_of_summed_powers() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [800.0, 0.0, 0.0]], np.float32)
    space = fit_space(np.eye(4), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(energy(space, logits, logits), [-np.log(np.exp([1, 2, 3]).sum()), -800])


def test_cosine_is_of_the_nearest_class_whatever_the_length() -> None:
    space = fit_space(np.array([[2.0, 0, 0], [4.0, 0, 0], [0, 1.0, 0], [0, 3.0, 0]]), np.array([0, 0, 1, 1]))
    features = np.array([[9.0, 0, 0], [0, 0, 5.0], [1.0, 1.0, 0], [-1.0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(cosine(space, features, features), [0, 1, 1 - 0.5**0.5, 1, 1], atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_95_percent_of_images_like_those_of_validation_are_kept(score: str) -> None:
    draw, kept = np.random.default_rng(0), []
    for _ in range(300):
        targets = draw.integers(0, 3, 260)
        features = draw.normal(0, 1, (260, 6)) + 4 * np.eye(6)[targets]
        logits = features[:, :3] * 2
        space = fit_space(features[:100], targets[:100])
        limits: Limits = fit_limits(space, features[100:200], logits[100:200])
        kept.append((getattr(limits, score).relative(SCORES[score](space, features[200:], logits[200:])) <= 1).mean())
    assert 0.945 < np.mean(kept) < 0.975


def test_units_are_those_of_validation() -> None:
    draw = np.random.default_rng(0)
    targets = np.arange(60) % 3
    features = draw.normal(0, 1, (60, 5)) + 4 * np.eye(5)[targets]
    space = fit_space(features, targets)
    limits = fit_limits(space, features, features)
    found = limits.cosine.relative(cosine(space, features, features))
    assert np.median(found) == pytest.approx(0, abs=1e-9)
    assert np.isclose(found, 1).any()
