"""Scores of ranked probabilities equal those over all pairs and thresholds, of images that are repeated as drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from resnet_tl.metrics.ranking import Ranking
from tests.metrics.by_hand import Drawn, average_precision_by_hand, multi_label


def auroc_by_hand(scores: NDArray[np.float32], targets: NDArray[np.bool_]) -> float:
    pairs = [(high > low) + (high == low) / 2 for high in scores[targets] for low in scores[~targets]]
    return sum(pairs) / len(pairs) if pairs else math.nan


def sensitivity_by_hand(scores: NDArray[np.float32], targets: NDArray[np.bool_], specificity: float) -> float:
    if targets.all() or not targets.any():
        return math.nan
    thresholds = [*scores, np.inf]
    fitting = [t for t in thresholds if (scores[~targets] < t).mean() >= specificity - 1e-9]
    return max((scores[targets] >= t).mean() for t in fitting)


@settings(deadline=None, max_examples=100)
@given(multi_label(), st.integers(0, 2**31), st.sampled_from([0.0, 0.5, 2 / 3, 0.8, 0.95, 1.0]))
def test_resamples_are_repeated_images(drawn: Drawn, seed: int, specificity: float) -> None:
    scores, targets = drawn[0][:, 0].numpy(), drawn[1][:, 0].bool().numpy()
    images = len(targets)
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), 3).T.astype(np.int32)
    ranking = Ranking.of(scores, targets, counts)
    for number, count in enumerate(counts.T):
        s, t = scores.repeat(count), targets.repeat(count)
        ap = average_precision_by_hand(s.tolist(), t.tolist())
        expected = [math.nan if ap is None else ap, auroc_by_hand(s, t), sensitivity_by_hand(s, t, specificity)]
        found = ranking.average_precision(), ranking.auroc(), ranking.sensitivity(specificity)
        assert [each[number] for each in found] == pytest.approx(expected, nan_ok=True)


def test_a_perfect_ranking() -> None:
    scores, once = np.array([0.9, 0.8, 0.2, 0.1], np.float32), np.ones((4, 1), np.int32)
    ranking = Ranking.of(scores, scores > 0.5, once)
    assert (ranking.average_precision()[0], ranking.auroc()[0], ranking.sensitivity(1.0)[0]) == (1, 1, 1)
    assert Ranking.of(scores, scores < 0.5, once).auroc()[0] == 0
