"""The form of tables."""

from __future__ import annotations

import math

from resnet_tl.metrics.score_tables import ScoreTables, assembled, score


def test_a_score_has_its_name_and_interval() -> None:
    assert score("acc", 0.5, (0.25, 0.75)) == {
        "metric": "acc", "name": "accuracy", "value": 0.5, "low": 0.25, "high": 0.75,
    }  # fmt: skip
    unknown = {"metric": "mine", "name": "mine", "value": None, "low": None, "high": None}
    assert score("mine", math.nan) == score("mine", math.nan, (math.nan, math.nan)) == unknown


def test_the_first_score_has_the_interval() -> None:
    rows = [score("acc", 0.5, (0.25, 0.75)), score("f1", 0.5)]
    assert ScoreTables({"summary": rows}, []).interval == (0.25, 0.75)
    assert ScoreTables({"summary": rows[1:]}, []).interval is None


def test_counts_become_a_matrix() -> None:
    tables = assembled([], {"per_class": [{"class": "a"}], "confusion": [[1, 2], [3, 4]]}, ["a", "b"])
    assert tables["confusion"] == [
        {"true / predicted": "a", "a": 1, "b": 2},
        {"true / predicted": "b", "a": 3, "b": 4},
    ]
    assert list(assembled([], {"per_class": []}, ["a"])) == ["summary", "per_class"]


def test_resamples_that_are_all_equal_give_no_interval() -> None:
    row = score("f1", 1.0, (1.0, 1.0))
    assert (row["value"], row["low"], row["high"]) == (1.0, None, None)
