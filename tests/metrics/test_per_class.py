from __future__ import annotations

import json
import math

import numpy as np
import pytest

from resnet_tl.metrics.per_class import Ratios, nanmean, rows


def test_ratios_without_a_denominator_are_nan_and_excluded_from_the_mean() -> None:
    ratios = Ratios.of(correct=np.array([2, 0, 0]), predicted=np.array([4, 0, 0]), targets=np.array([2, 3, 0]))
    np.testing.assert_array_equal(ratios.precision, [0.5, math.nan, math.nan])
    np.testing.assert_array_equal(ratios.recall, [1, 0, math.nan])
    np.testing.assert_allclose(ratios.f1, [2 / 3, 0, math.nan])
    assert ratios.macro_f1() == pytest.approx(1 / 3)
    assert ratios.macro_f1(absent=[1]) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("error")
def test_the_mean_of_nothing_is_nan_without_a_warning() -> None:
    assert math.isnan(nanmean(np.array([math.nan])))


def test_rows_are_plain_python_with_none_for_nan() -> None:
    table = rows(["ant", "bee"], images=np.array([3, 0]), ap=np.array([0.25, math.nan]))
    assert table == [{"class": "ant", "images": 3, "ap": 0.25}, {"class": "bee", "images": 0, "ap": None}]
    assert json.loads(json.dumps(table)) == table
