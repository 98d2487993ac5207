from __future__ import annotations

import pytest

from benchmarks.folds import by_fold


def test_folds_have_a_mean_once_all_are_measured() -> None:
    some = by_fold("table", "row", "mAP", {2: 0.6, 0: 0.4}, "mAP")
    assert [(figure.column, figure.value) for figure in some] == [("mAP, fold 0", 0.4), ("mAP, fold 2", 0.6)]
    *_, mean = by_fold("table", "row", "mAP", {2: 0.6, 0: 0.4, 1: 0.5}, "mAP")
    assert (mean.column, mean.value, mean.deviation) == ("mAP, mean", pytest.approx(0.5), pytest.approx(0.1))
