"""Which of two scores is better."""

from __future__ import annotations

import math

LOWER_IS_BETTER = ("loss", "mae", "rmse")
"""Metrics, by what follows `val/`, of which less is better; of all others more is."""


def lower_is_better(metric: str) -> bool:
    return metric.rpartition("/")[2] in LOWER_IS_BETTER


def worst(metric: str) -> float:
    """Returns the score that every other one improves on."""
    return math.inf if lower_is_better(metric) else -math.inf


def improves(metric: str, score: float, on: float) -> bool:
    """Whether a score is better than the one before; NaN never is."""
    return score < on if lower_is_better(metric) else score > on


def at_least(metric: str, score: float, other: float) -> bool:
    """Whether a score is as good as another one, or better; NaN never is."""
    return score == other or improves(metric, score, other)
