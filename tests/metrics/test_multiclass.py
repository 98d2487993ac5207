"""Multi-class scores equal a slow, plain reference."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings

from resnet_tl.metrics.classification import ClassificationMetrics
from tests.metrics.by_hand import Drawn, f1_by_hand, measure, multi_class, multi_class_by_hand


@settings(deadline=None, max_examples=150)
@given(multi_class())
def test_scores_equal_those_counted_by_hand(drawn: Drawn) -> None:
    assert measure(*drawn).compute() == pytest.approx(multi_class_by_hand(*drawn), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(multi_class())
def test_tables_equal_those_counted_by_hand(drawn: Drawn) -> None:
    tables = measure(*drawn).tables()
    predicted, targets = drawn[0].numpy().argmax(1).tolist(), drawn[1].tolist()
    classes = drawn[0].shape[1]
    pairs = list(zip(targets, predicted, strict=True))
    assert tables["confusion"] == [[pairs.count((t, s)) for s in range(classes)] for t in range(classes)]
    for k, row in enumerate(tables["per_class"]):
        assert (row["class"], row["images"]) == (f"class {k}", targets.count(k))
        assert row["recall"] == (pairs.count((k, k)) / targets.count(k) if k in targets else None)
        assert row["precision"] == (pairs.count((k, k)) / predicted.count(k) if k in predicted else None)
        assert row["f1"] == pytest.approx(f1_by_hand([s == k for s in predicted], [t == k for t in targets]))


def test_of_equal_probabilities_the_lower_class_ranks_first() -> None:
    even = torch.full((7, 7), 1 / 7)
    scores = measure(even, torch.arange(7)).compute()
    assert scores["acc"] == pytest.approx(1 / 7)
    assert scores["top5"] == pytest.approx(5 / 7)


def test_full_confidence_falls_into_the_last_bin() -> None:
    sure = torch.eye(3)[[0, 0, 0, 0]]
    assert measure(sure, torch.tensor([0, 0, 0, 1])).compute()["ece"] == pytest.approx(0.25)


def test_a_class_in_neither_targets_nor_predictions_is_excluded_from_the_mean() -> None:
    metrics = measure(torch.eye(3)[[0, 1]], torch.tensor([0, 1]))
    assert metrics.compute()["f1"] == 1
    absent = metrics.tables()["per_class"][2]
    assert absent == {"class": "class 2", "images": 0, "precision": None, "recall": None, "f1": None}


def test_outputs_that_are_not_finite_score_nothing() -> None:
    """NaN would count as the first class: 0.75 here."""
    probabilities = torch.eye(3)[[0, 0, 0, 1]]
    probabilities[1] = math.nan
    metrics = measure(probabilities, torch.tensor([0, 0, 0, 0]))
    assert all(map(math.isnan, metrics.compute().values()))


def test_ten_thousand_classes_cost_no_matrix() -> None:
    metrics = ClassificationMetrics([str(k) for k in range(10_000)])
    metrics.update(torch.eye(10_000)[:8], torch.arange(8), torch.ones(8, dtype=torch.bool))
    stored = [
        tensor
        for state in metrics.metric.metric_state.values()
        for tensor in ([state] if isinstance(state, torch.Tensor) else state)
    ]
    assert sum(tensor.nbytes for tensor in stored) < 1000
    assert metrics.compute()["acc"] == 1
    assert "confusion" not in metrics.tables()
