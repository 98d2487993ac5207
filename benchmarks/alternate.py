"""Alternating timing, A B A B ..., so that other load on the machine affects all contestants alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Seconds = dict[str, list[float]]
"""Seconds of each contestant, one per round."""


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> Seconds:
    """Times every contestant once per round, in order, after `warm_up` rounds that do not count."""
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
    """Quartiles of one value or more; of one, all three are that value."""
    values = values if len(values) > 1 else 2 * values
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(seconds: Seconds, name: str, reference: str) -> Quartiles:
    """Quartiles of the time of `name` relative to `reference`, round by round rather than of the medians."""
    return quartiles([ours / theirs for ours, theirs in zip(seconds[name], seconds[reference], strict=True)])
