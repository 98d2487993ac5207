"""Which of two scores is better."""

from __future__ import annotations

import math

import pytest

from resnet_tl.structures.scores import at_least, improves, worst


@pytest.mark.parametrize(("metric", "better", "other"), [("val/acc", 0.9, 0.8), ("val/mae", 1.0, 2.0)])
def test_better_is_higher_or_lower_and_never_equal_or_nan(metric: str, better: float, other: float) -> None:
    assert improves(metric, better, other)
    assert not improves(metric, other, better)
    assert not improves(metric, better, better)
    assert improves(metric, other, worst(metric))
    assert not improves(metric, math.nan, worst(metric))
    assert at_least(metric, better, other)
    assert at_least(metric, better, better)
    assert not at_least(metric, other, better)
    assert not at_least(metric, math.nan, other)
