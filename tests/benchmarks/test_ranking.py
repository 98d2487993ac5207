from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ranking import SCORES, figures
from resnet_tl.run.rank import Rated


def row(accuracy: float, **scores: float | None) -> dict[str, Any]:
    return {"weights": "", "scores": dict.fromkeys(SCORES) | scores, "accuracies": [accuracy - 0.1, accuracy + 0.1]}


def test_each_score_that_all_weights_have_is_compared_with_the_mean_accuracy() -> None:
    rows = [row(0.9, probe=3, LogME=1, LEEP=0), row(0.8, probe=2, LogME=3, LEEP=0), row(0.7, probe=1, LogME=2)]
    found = {figure.column: figure.value for figure in figures({"recipes": {"photos": rows}})}
    assert found == {"probe": 1, "LogME": pytest.approx(-1 / 3)}


def test_equal_scores_order_nothing() -> None:
    assert figures({"recipes": {"photos": [row(0.9, probe=1), row(0.8, probe=1)]}}) == []


def test_the_scores_are_those_that_weights_are_rated_by() -> None:
    assert all(field in Rated.__dataclass_fields__ or hasattr(Rated, field) for field in SCORES.values())
