"""Fits by the command, as a user runs it, repeated over seeds: accuracy of the last epoch, never of the best one."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEEDS = (1, 2, 3, 4, 5)
"""Fixed before anything was measured; no recipe was tuned on them."""


@dataclass(frozen=True)
class Runs:
    """Trainings by seed: validation accuracy of the last epoch (0...1), wall seconds, and seconds of all cores (more
    telling where other processes run)."""

    name: str
    accuracies: list[float]
    seconds: list[float]
    core_seconds: list[float]

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies)

    def __str__(self) -> str:
        spread = statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0
        seconds, core_seconds = statistics.median(self.seconds), statistics.median(self.core_seconds)
        return (
            f"{self.name:<20} {100 * self.mean:5.1f} ± {100 * spread:.1f} %   "
            f"{seconds:.0f} s a run, {core_seconds:.0f} core s"
        )


def measure(name: str, arguments: Sequence[str], seeds: Sequence[int]) -> Runs:
    """Runs `resnet-tl fit` with these arguments once per seed."""
    runs = Runs(name, [], [], [])
    for seed in seeds:
        accuracy, seconds, cores = fit([*arguments, "--seed_everything", str(seed)])
        runs.accuracies.append(accuracy)
        runs.seconds.append(seconds)
        runs.core_seconds.append(cores)
        print(f"  seed {seed}: {100 * accuracy:.2f} %, {seconds:.0f} s, {cores:.0f} core s", flush=True)
    print(runs, flush=True)
    return runs


def fit(arguments: Sequence[str]) -> tuple[float, float, float]:
    """Returns the last epoch's validation accuracy, wall seconds from start to end, and seconds of all cores."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        seconds, cores = timed(["fit", "--run", str(run), *arguments])
        return json.loads((run / "summary.json").read_text())["final"]["val/acc"], seconds, cores


def timed(arguments: Sequence[str]) -> tuple[float, float]:
    """Runs `resnet-tl` with these arguments; returns wall seconds and seconds of all cores."""
    command = [sys.executable, "-m", "resnet_tl.cli.main", *arguments]
    start, before = time.perf_counter(), core_seconds()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, cores = time.perf_counter() - start, core_seconds() - before
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, cores


def core_seconds() -> float:
    """CPU seconds of this process and of all its descendants that have exited."""
    return sum(os.times()[:4])
