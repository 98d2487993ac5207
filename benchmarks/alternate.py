"""Timing side by side: A B A B ..., so that whatever else the machine does falls on all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Seconds = dict[str, list[float]]
"""A contestant's seconds, one a round."""


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> Seconds:
    """Runs every contestant once a round, in order, after `warm_up` rounds that do not count."""
    for _ in range(warm_up):
        for run in contestants.values():
            run()
    seconds: Seconds = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


class Quartiles(NamedTuple):
    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"


def quartiles(values: list[float]) -> Quartiles:
    """Of two values at least."""
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(seconds: Seconds, name: str, reference: str) -> Quartiles:
    """How long `name` takes, `reference` being 1: of the ratios round by round, not of the medians."""
    return quartiles([ours / theirs for ours, theirs in zip(seconds[name], seconds[reference], strict=True)])
