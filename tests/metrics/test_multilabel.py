"""Multi-label scores equal a slow, plain reference."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.by_hand import Drawn, average_precision_by_hand, f1_by_hand, measure, multi_label


@settings(deadline=None, max_examples=150)
@given(multi_label(), st.floats(0, 1, width=32))
def test_scores_equal_those_counted_by_hand(drawn: Drawn, threshold: float) -> None:
    probabilities, targets = drawn
    classes = probabilities.shape[1]
    metrics = measure(probabilities, targets, multi_label=True)
    thresholds = torch.linspace(threshold, 1, classes)
    rows = metrics.tables(thresholds)["per_class"]
    for k, row in enumerate(rows):
        scores, marks = probabilities[:, k].tolist(), targets[:, k].tolist()
        assert row["ap"] == pytest.approx(average_precision_by_hand(scores, marks), abs=1e-6)
        assert row["f1"] == pytest.approx(f1_by_hand([s >= thresholds[k] for s in scores], [t == 1 for t in marks]))
        assert row["images"] == sum(marks)
    for score, column in (("map", "ap"), ("f1", "f1")):
        known = [row[column] for row in rows if row[column] is not None]
        expected = sum(known) / len(known) if known else math.nan
        assert metrics.compute(thresholds)[score] == pytest.approx(expected, nan_ok=True)


def test_scores_are_nan_without_any_positive_label() -> None:
    metrics = measure(torch.full((3, 2), 0.1), torch.zeros(3, 2), multi_label=True)
    assert all(math.isnan(value) for value in (*metrics.compute().values(), *metrics.interval()))
