"""Times contestants on the device, alternating, and gives what is found as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.alternate import quartiles, ratios
from benchmarks.figures import Figure
from benchmarks.gpu_parts.device import Run
from benchmarks.gpu_parts.setting import Setting

TABLE = "GPU"
SPEED, TIMES, SHARE, MEMORY, COMPILING = "speed", "times as fast", "of the ceiling", "peak memory", "compiling"
FEW_ROUNDS = 2
"""Of contestants that others have yet to join."""


@dataclass(frozen=True)
class Timed:
    """Seconds of a step by round, seconds of the first step, and the most MiB that steps after it take; None on a CPU.
    The contestant's weights and optimizer are in it, those of others are not."""

    seconds: list[float]
    first: float
    peak: float | None


def race(setting: Setting, contestants: Mapping[str, Callable[[], Run]], steps: int | None = None) -> dict[str, Timed]:
    """Builds and warms up the contestants, times each once a round, and frees what they hold.

    steps: in a row, each time; None: the setting's.
    """
    with _freed(setting) as runs:
        warm = {name: _warmed(setting, build, runs, name) for name, build in contestants.items()}
        seconds = _take_turns(setting, runs, steps or setting.steps, setting.rounds)
    return {name: Timed(seconds[name], *warm[name]) for name in seconds}


def joining_race(setting: Setting, contestants: Mapping[str, Callable[[], Run]]) -> Iterator[dict[str, Timed]]:
    """As `race`, of contestants that are slow to compile: yields figures of those that are, whenever one has joined
    them and all have taken turns again. The last ones count, of all rounds; those before are there in case of a cut."""
    with _freed(setting) as runs:
        warm = {}
        for name, build in contestants.items():
            warm[name] = _warmed(setting, build, runs, name)
            rounds = setting.rounds if len(runs) == len(contestants) else FEW_ROUNDS
            seconds = _take_turns(setting, runs, setting.steps, rounds)
            yield {each: Timed(seconds[each], *warm[each]) for each in seconds}


@contextmanager
def _freed(setting: Setting) -> Iterator[dict[str, Run]]:
    """Gives a dict for the contestants; in the end frees what they hold."""
    runs: dict[str, Run] = {}
    try:
        yield runs
    finally:
        runs.clear()
        setting.device.free()


def _take_turns(setting: Setting, runs: Mapping[str, Run], steps: int, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in runs:  # by name: what a variable of a loop holds is not freed in the end
            seconds[name].append(setting.device.seconds(runs[name], steps))
    return seconds


def _warmed(setting: Setting, build: Callable[[], Run], runs: dict[str, Run], name: str) -> tuple[float, float | None]:
    device = setting.device
    before = device.allocated()
    runs[name] = build()
    first = device.seconds(runs[name], 1)
    device.forget_peak()
    device.seconds(runs[name], setting.warm_up)
    peak = device.peak()
    return first, None if peak is None or before is None else peak - before


def speed(row: str, timed: Timed, images: int) -> Iterator[Figure]:
    """Images per second of steps of so many images, and peak memory."""
    low, median, high = quartiles([images / seconds for seconds in timed.seconds])
    yield Figure(TABLE, row, SPEED, median, "images/s", None, "higher", low, high)
    yield from memory(row, timed.peak)


def memory(row: str, peak: float | None) -> Iterator[Figure]:
    """peak: in MiB; None on a CPU, where there is no figure."""
    if peak is not None:
        yield Figure(TABLE, row, MEMORY, peak, "MiB")


def times_as_fast(
    row: str, every: Mapping[str, Timed], name: str, peers: list[str], goal: float | None = None
) -> Figure:
    """How many times as fast as the fastest of its peers a contestant is, round by round."""
    seconds = {each: timed.seconds for each, timed in every.items()}
    peer = min(peers, key=lambda each: quartiles(seconds[each]).median)
    low, median, high = ratios(seconds, peer, name)
    return Figure(TABLE, row, TIMES, median, "×", goal, "higher", low, high)
