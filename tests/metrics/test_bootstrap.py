"""Intervals equal a bootstrap that repeats images, and cover the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from resnet_tl.metrics.bootstrap import accuracy_interval, completed, mean_average_precisions
from resnet_tl.metrics.ranking import Ranking
from tests.metrics.by_hand import Drawn, average_precision_by_hand, measure, multi_label


@settings(deadline=None, max_examples=60)
@given(multi_label(), st.integers(0, 2**31))
def test_resampled_average_precision_equals_that_of_repeated_images(drawn: Drawn, seed: int) -> None:
    scores, targets = drawn[0][:, 0].numpy(), drawn[1][:, 0].bool().numpy()
    assume(targets.any())
    images = len(targets)
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), 3).T.astype(np.int32)
    values = Ranking.of(scores, targets, counts).average_precision()
    for value, count in zip(values, counts.T, strict=True):
        expected = average_precision_by_hand(scores.repeat(count).tolist(), targets.repeat(count).tolist())
        assert value == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


def test_the_accuracy_interval_equals_a_plain_bootstrap() -> None:
    correct = np.arange(200) < 150
    metrics = measure(torch.eye(2)[[0] * 200], torch.tensor((~correct).astype(int)))
    low, high = metrics.interval()
    drawn = np.random.default_rng(7).choice(correct, (4000, 200)).mean(1)
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.01)
    assert metrics.interval() == (low, high)


def test_the_map_interval_covers_the_truth_as_often_as_stated() -> None:
    """Expects 95 % of 60 sets from one source to cover it; fewer than 50 happen with a chance below 1 in 10,000."""
    generator = torch.Generator().manual_seed(0)

    def draw(images: int) -> Drawn:
        targets = (torch.rand(images, 2, generator=generator) < 0.4).float()
        return (targets + 1.2 * torch.randn(images, 2, generator=generator)).sigmoid(), targets

    truth = measure(*draw(100_000), multi_label=True, batch=100_000).compute()["map"]
    covered = 0
    for _ in range(60):
        low, high = measure(*draw(150), multi_label=True, batch=150).interval()
        covered += low <= truth <= high
    assert covered >= 50


@pytest.mark.parametrize("images", [1, 4, 60])
def test_all_right_or_all_wrong_has_the_exact_interval(images: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for correct in (0, images):
        exact = stats.binomtest(correct, images).proportion_ci(0.95, "exact")
        assert accuracy_interval(correct, images) == pytest.approx((exact.low, exact.high))


def test_a_class_that_a_resample_lacks_keeps_its_score() -> None:
    scores = np.array([[0.5, np.nan, 0.7], [np.nan, 0.2, 0.4], [np.nan] * 3])
    whole = np.array([[0.6], [0.3], [np.nan]])
    expected = [[0.5, 0.6, 0.7], [0.3, 0.2, 0.4], [np.nan] * 3]
    np.testing.assert_array_equal(completed(scores, whole), expected)
    targets = np.array([[1, 0], [1, 0], [0, 1]], bool)
    probabilities = np.array([[0.9, 0.6], [0.8, 0.7], [0.1, 0.5]], np.float32)
    counts = np.array([[3, 1], [0, 1], [0, 1]], np.int32)
    assert mean_average_precisions(probabilities, targets, counts) == pytest.approx([(1 + 1 / 3) / 2] * 2)
