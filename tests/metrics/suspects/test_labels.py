"""Planted wrong labels are found, by probabilities that know the true ones roughly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from resnet_tl.metrics.suspects.labels import label_suspects, probably_wrong
from resnet_tl.metrics.suspects.suspect import NOTHING
from resnet_tl.structures.evaluation import ClassEvaluation

CLASSES = ["ant", "bee", "cat"]
N = 300


def evaluation(probabilities: np.ndarray, targets: np.ndarray, **more: Any) -> ClassEvaluation:
    keys = np.array([f"{number:03}.jpg" for number in range(len(targets))])
    fields = {"classes": CLASSES, "root": "photos", "split": "val", "step": 1, "absent": [], "keys": keys}
    fields |= {"losses": np.zeros(len(targets), np.float32), "thresholds": np.zeros(0, np.float32), **more}
    return ClassEvaluation(**fields, probabilities=probabilities.astype(np.float32), targets=targets)


def test_flipped_labels_are_found_with_the_true_class_and_few_others() -> None:
    draw = np.random.default_rng(0)
    true = draw.integers(3, size=N)
    logits = draw.normal(0, 1, (N, 3)) + 4 * np.eye(3)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    flipped = draw.choice(N, 15, replace=False)
    given = true.copy()
    given[flipped] = (true[flipped] + 1) % 3
    found = label_suspects(evaluation(probabilities, given))
    planted = {f"{number:03}.jpg": CLASSES[true[number]] for number in flipped}
    right = [each for each in found if planted.get(each.key) == each.suggested]
    assert len(right) >= 12
    assert len(right) / len(found) > 0.8
    for each in found:
        number = int(each.key[:3])
        assert (each.kind, each.given) == ("label", CLASSES[given[number]])
        assert each.score == pytest.approx(1 - probabilities[number, given[number]])


def test_several_labels_are_missing_or_wrong_one_by_one() -> None:
    draw = np.random.default_rng(1)
    true = draw.random((N, 3)) < 0.4
    probabilities = np.where(true, draw.uniform(0.6, 1, (N, 3)), draw.uniform(0, 0.4, (N, 3)))
    probabilities[[5, 6], [0, 2]] = np.where(true[[5, 6], [0, 2]], 0.95, 0.05)
    given = true.copy()
    given[5, 0], given[6, 2] = ~given[5, 0], ~given[6, 2]
    found = label_suspects(evaluation(probabilities, given, thresholds=np.full(3, 0.5, np.float32)))
    expected = {
        ("005.jpg", "missing label", NOTHING, "ant") if true[5, 0] else ("005.jpg", "wrong label", "ant", NOTHING),
        ("006.jpg", "missing label", NOTHING, "cat") if true[6, 2] else ("006.jpg", "wrong label", "cat", NOTHING),
    }
    assert {(each.key, each.kind, each.given, each.suggested) for each in found} == expected


def test_where_all_labels_are_one_none_is_wrong() -> None:
    assert probably_wrong(np.zeros(4, np.int64), np.full((4, 2), 0.5)).tolist() == [False] * 4


def test_a_label_that_the_network_agrees_with_is_no_suspect() -> None:
    probabilities = np.array([[0.6, 0.4], [0.51, 0.49], [0.1, 0.9], [0.9, 0.1]])
    labels = np.array([0, 0, 1, 1])
    assert not probably_wrong(labels, probabilities)[:3].any()
