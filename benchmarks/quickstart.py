"""The quick start with the shipped weights, compared with random weights at the best of three rates.

python -m benchmarks quickstart [--write] [--seeds 1 2 3 4 5] [--weights FILE] [--epochs N]

Accuracy is that of the last epoch on the 500 validation images, never of the best epoch. From scratch everything is
trained from the first epoch on, because a frozen random network teaches nothing.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks.figures import Figure, over_seeds, write
from benchmarks.fits import SEEDS, measure
from benchmarks.machine import machine

SCRATCH_RATES = (0.03, 0.1, 0.3)


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    common = ["-c", "quickstart"]
    if options.epochs is not None:
        common += ["--trainer.max_epochs", str(options.epochs)]
    loaded = [] if options.weights is None else ["--model.backbone.weights", options.weights]
    pretrained = measure(options.weights or "shipped weights", [*common, *loaded], options.seeds)
    scratch = [measure(f"scratch, lr {rate}", [*common, *from_scratch(rate)], options.seeds) for rate in SCRATCH_RATES]
    best = max(scratch, key=lambda runs: runs.mean)
    print(f"ahead of the best from scratch ({best.name}) by {100 * (pretrained.mean - best.mean):.1f} points")
    if options.write:
        runs = [vars(each) for each in (pretrained, *scratch)]
        measured = {"machine": machine(), "seeds": options.seeds, "runs": runs}
        write("quickstart", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Of the shipped weights, and of the best rate from random ones."""
    pretrained, *scratch = results["runs"]
    best = max(scratch, key=lambda runs: statistics.mean(runs["accuracies"]))
    rows = {"the shipped weights": pretrained, "random weights, at the best of three rates": best}
    return [
        over_seeds("quickstart", row, "accuracy", [100 * each for each in runs["accuracies"]], "%")
        for row, runs in rows.items()
    ]


def from_scratch(rate: float) -> list[str]:
    """Differences from the recipe."""
    phases = "[{train: all}]"
    return ["--model.backbone.weights", "null", "--model.tuning.phases", phases, "--model.optimizer.lr", str(rate)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks quickstart")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/quickstart.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--weights", help="weights other than the recipe's")
    parser.add_argument("--epochs", type=int, help="a number other than the recipe's")
    return parser
