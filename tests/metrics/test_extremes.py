"""Which images are worst and typical."""

from __future__ import annotations

import numpy as np

from resnet_tl.metrics.extremes import worst_and_typical


def test_the_highest_come_first_then_those_at_the_median() -> None:
    losses = np.array([0.1, 9.0, 0.4, 0.53, 7.0, 0.6])  # the median is 0.565
    assert worst_and_typical(losses, 2, 3) == ([1, 4], [3, 5, 2])


def test_an_image_is_either() -> None:
    assert worst_and_typical(np.array([0.5, 0.5]), 1, 5) == ([0], [1])
    assert worst_and_typical(np.array([0.5]), 2, 2) == ([0], [])
