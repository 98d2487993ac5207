"""What detections are, against counts by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnet_tl.metrics.box_confusion import pairs
from resnet_tl.metrics.box_errors import find_errors
from resnet_tl.metrics.box_matches import match
from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.metrics.box_scores import best_scores
from tests.metrics.box_sets import box_set

SCORES = np.array([0.2, 0.9, 0.0, 0.5])


@pytest.mark.parametrize("crowds", [0.0, 0.1])
def test_precision_recall_and_f1_count_the_detections_from_the_scores_on(crowds: float) -> None:
    e = box_set(images=100, crowds=crowds)
    matches = match(e, [0.5])
    for k, row in enumerate(BoxOutcomes.of(e, SCORES).class_rows()):
        chosen = (e.labels == k) & (e.scores >= SCORES[k]) & ~matches.ignored[0]
        hits = matches.hits[0][chosen].sum()
        objects = ((e.target_labels == k) & ~e.target_crowd).sum()
        assert row == pytest.approx(
            {
                "class": f"class {k}",
                "threshold": SCORES[k],
                "precision": hits / chosen.sum(),
                "recall": hits / objects,
                "f1": 2 * hits / (chosen.sum() + objects),
            }
        )


def test_the_confusion_counts_the_pairs() -> None:
    e = box_set(images=100)
    true, predicted = pairs(e, match(e, [0.5]), SCORES).classes(e)
    table = BoxOutcomes.of(e, SCORES).confusion()
    assert table.shape == (5, 5)
    assert table.sum() == len(true)
    assert table[4, 1] == ((true == 4) & (predicted == 1)).sum()
    assert table[1, 4] == ((true == 1) & (predicted == 4)).sum()


def test_a_class_called_nothing_is_not_what_false_alarms_are() -> None:
    e = box_set(images=5, classes=2)
    assert BoxOutcomes.of(e).names == ["class 0", "class 1", "nothing"]
    assert BoxOutcomes.of(replace(e, classes=["nothing", "thing"])).names == ["nothing", "thing", "(nothing)"]


def test_every_kind_of_error_has_its_row() -> None:
    e = box_set(images=100)
    errors, rows = find_errors(e), {row["error"]: row for row in BoxOutcomes.of(e).error_rows()}
    assert sum(row["number"] for kind, row in rows.items() if kind != "missed") == (errors.kinds >= 0).sum()
    assert rows["missed"]["number"] == errors.missed.sum()
    assert {kind: row["map50_cost"] for kind, row in rows.items()} == errors.costs


def test_without_scores_those_of_the_best_f1_count() -> None:
    e = box_set(images=100)
    assert BoxOutcomes.of(e).scores.tolist() == best_scores(e, match(e, [0.5])).tolist()
