"""The quick start with the weights shipped here, beside the same recipe from random weights at the best of three rates.

python -m benchmarks quickstart [--json] [--seeds 1 2 3 4 5] [--weights FILE] [--epochs N]

Accuracy is that of the last epoch on the 500 validation pictures, never of the best epoch. From scratch everything is
trained from the first epoch on, because a frozen random network teaches nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine

SEEDS = (1, 2, 3, 4, 5)
SCRATCH_RATES = (0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Runs:
    """One way to train, repeated: validation accuracy of the last epoch (0...1) and wall seconds, by seed."""

    name: str
    accuracies: list[float]
    seconds: list[float]

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies)

    def __str__(self) -> str:
        spread = statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0
        seconds = statistics.median(self.seconds)
        return f"{self.name:<20} {100 * self.mean:5.1f} ± {100 * spread:.1f} %   {seconds:.0f} s a run"


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    common = [] if options.epochs is None else ["--trainer.max_epochs", str(options.epochs)]
    loaded = [] if options.weights is None else ["--model.backbone.weights", options.weights]
    pretrained = measure(options.weights or "shipped weights", [*common, *loaded], options.seeds)
    scratch = [measure(f"scratch, lr {rate}", [*common, *from_scratch(rate)], options.seeds) for rate in SCRATCH_RATES]
    best = max(scratch, key=lambda runs: runs.mean)
    print(f"ahead of the best from scratch ({best.name}) by {100 * (pretrained.mean - best.mean):.1f} points")
    if options.json:
        print(
            json.dumps(
                {"machine": machine(), "seeds": options.seeds, "runs": [vars(runs) for runs in (pretrained, *scratch)]}
            )
        )


def from_scratch(rate: float) -> list[str]:
    """What differs from the recipe."""
    phases = "[{train: all}]"
    return ["--model.backbone.weights", "null", "--model.tuning.phases", phases, "--model.optimizer.lr", str(rate)]


def measure(name: str, overrides: list[str], seeds: list[int]) -> Runs:
    runs = Runs(name, [], [])
    for seed in seeds:
        accuracy, seconds = fit([*overrides, "--seed_everything", str(seed)])
        runs.accuracies.append(accuracy)
        runs.seconds.append(seconds)
    print(runs, flush=True)
    return runs


def fit(overrides: list[str]) -> tuple[float, float]:
    """Runs the command as a user does: the last epoch's validation accuracy, and wall seconds from start to end."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "resnet_tl.cli.main", "fit", "-c", "quickstart", "--run", str(run), *overrides]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads((run / "summary.json").read_text())["final"]["val/acc"], seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks quickstart")
    parser.add_argument("--json", action="store_true", help="a line of JSON with every run's figures at the end")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--weights", help="other weights than the recipe's")
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    return parser
