"""Scores in resamples equal scikit-learn's of weighted images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnet_tl.metrics.bootstrap import resample
from resnet_tl.metrics.class_scores import ClassCounts, Marks, ranks
from tests.metrics.test_class_tables import evaluation

DRAWN = resample(np.random.default_rng(3), 120, 4)


def expected_means(sklearn: Any, targets: Any, guess: Any, averages: tuple[str, ...]) -> list[dict[str, float]]:
    """Of each column of `DRAWN`."""
    expected: list[dict[str, float]] = []
    for weights in DRAWN.T:
        expected.append({})
        for average in averages:
            options = {"average": average, "sample_weight": weights, "zero_division": np.nan}
            *each, _ = sklearn.precision_recall_fscore_support(targets, guess, **options)
            expected[-1] |= dict(
                zip((f"{name}_{average}" for name in ("precision", "recall", "f1")), each, strict=True)
            )
        expected[-1]["f1"] = expected[-1].pop("f1_macro")
    return expected


def test_one_label() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(120, 4)
    counts, guess = ClassCounts(**Marks(e).counts(DRAWN)), e.probabilities.argmax(1)
    found = {**counts.means([], counts), "kappa": counts.kappa()}
    expected = expected_means(sklearn, e.targets, guess, ("macro", "weighted"))
    for number, (weights, each) in enumerate(zip(DRAWN.T, expected, strict=True)):
        each["kappa"] = sklearn.cohen_kappa_score(e.targets, guess, sample_weight=weights)
        assert {name: values[number] for name, values in found.items()} == pytest.approx(each)


def test_several_labels() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(120, 4, several=True)
    counts = ClassCounts(**Marks(e).counts(DRAWN))
    found = {**counts.means([], counts), **counts.micro()}
    expected = expected_means(sklearn, e.targets, e.probabilities >= e.thresholds, ("macro", "weighted", "micro"))
    for number, each in enumerate(expected):
        assert {name: values[number] for name, values in found.items()} == pytest.approx(each)


@pytest.mark.parametrize("several", [False, True])
def test_ranks(several: bool) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(120, 4, several=several)
    found, marks = ranks(e, DRAWN), e.targets if several else np.eye(4)[e.targets]
    for number, weights in enumerate(DRAWN.T):
        options = {"average": None, "sample_weight": weights}
        assert found["ap"][:, number] == pytest.approx(
            sklearn.average_precision_score(marks, e.probabilities, **options)
        )
        assert found["auroc"][:, number] == pytest.approx(sklearn.roc_auc_score(marks, e.probabilities, **options))
