"""The mean of losses."""

from __future__ import annotations

import math

import pytest
import torch

from resnet_tl.metrics.mean import Mean


def test_the_mean_is_weighted() -> None:
    mean = Mean()
    mean.update(torch.tensor(2.0), weight=torch.tensor(3))
    mean.update(torch.tensor(4.0), weight=torch.tensor(1))
    mean.update(torch.tensor(0.0), weight=torch.tensor(0))
    assert float(mean.compute()) == pytest.approx(2.5)
    mean.reset()
    mean.update(torch.tensor(7.0))
    assert float(mean.compute()) == 7


def test_one_nan_is_not_dropped() -> None:
    mean = Mean()
    for value in (1.0, math.nan, 3.0):
        mean.update(torch.tensor(value))
    assert math.isnan(mean.compute())
