"""Fine-tuning on few images: plain, with each regulariser, by averages and augmentations, and the best combination.

python -m benchmarks low_data --data DIR [--sets cifar10 resnet56 ...] [--percent 10 25 50 100] [--methods METHOD ...]
    [--seeds 1 2 3 4 5] [--minutes M] [--cache DIR] [--fits FILE] [--write]

--data is as in `solved_head`. Sets are those of `low_data_sets`: five classes of CIFAR-10 from a ResNet-20 that is
first trained on the other five (in --cache), and ants and bees; methods are those of `low_data_methods`. A percentage
is of the training images, the same number of each class, which the seed draws; all methods of a seed have the same.

A method's values, such as a strength, are chosen by seeds 11 and 12 at 10 %, on two fifths of the training images,
which are held out for it. With them it is trained for --seeds at all percentages, and validated once, at its end, on
the validation images, on which nothing was chosen. The rate is chosen so for plain fine-tuning, and is that of all.

Each fit is a line of --fits when it ends, and is not trained again: the study can be stopped at any time, or by
--minutes, and the same command continues it.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS, Figure, over_seeds, write
from benchmarks.fits import SEEDS
from benchmarks.low_data_methods import COMBINATIONS, COMBINED, METHODS, PLAIN, Variant, combined
from benchmarks.low_data_sets import SETS, ImageSet
from benchmarks.machine import machine
from benchmarks.short_fits import CACHE, Fits, OutOfTime, Overrides

CHOOSING = (11, 12)
CHOSEN_AT = 10
"""Percentage at which values are chosen."""
FIRST = "plain"
GOAL = {10: 2.0}
"""Points of the best combination over plain fine-tuning, by percentage."""
ACCURACIES = {("resnet56", 100, COMBINED): 86.0, ("lite0", 100, "`lpft_solved`"): 95.0}
"""What was to be reached, in %, by set, percentage and method."""


class Study:
    """The fits of one set.

    Args:
        prepared: what `ImageSet.prepare` returned.
    """

    def __init__(self, name: str, images: ImageSet, prepared: Overrides, fits: Fits) -> None:
        self.name, self.images, self.prepared, self.fits = name, images, prepared, fits
        self.rate = self._chosen_rate()
        self._chosen: dict[str, tuple[str, Variant]] = {}

    def chosen(self, method: str) -> tuple[str, Variant]:
        """Returns the variant of a method with the best mean over the seeds of choosing, the first of equals."""
        if method not in self._chosen:
            variants = self._variants(method)
            best = next(iter(variants))
            if len(variants) > 1:
                best = max(variants, key=lambda label: self._mean(method, label, variants[label], self.rate))
            self._chosen[method] = best, variants[best]
        return self._chosen[method]

    def accuracy(self, method: str, percent: int, seed: int) -> float:
        label, variant = self.chosen(method)
        return self._fit(method, label, variant, percent, seed, self.rate, choosing=False)

    def _variants(self, method: str) -> Mapping[str, Variant]:
        if method != COMBINED:
            return METHODS[method]
        return {name: combined([self.chosen(part)[1] for part in parts]) for name, parts in COMBINATIONS.items()}

    def _chosen_rate(self) -> float:
        (plain,) = METHODS[FIRST].values()
        return max(self.images.rates, key=lambda rate: self._mean(FIRST, f"rate {rate:g}", plain, rate))

    def _mean(self, method: str, label: str, variant: Variant, rate: float) -> float:
        return statistics.mean(
            self._fit(method, label, variant, CHOSEN_AT, seed, rate, choosing=True) for seed in CHOOSING
        )

    def _fit(
        self, method: str, label: str, variant: Variant, percent: int, seed: int, rate: float, *, choosing: bool
    ) -> float:
        data = self.images.data(self.prepared, percent, choosing=choosing)
        overrides = {
            **PLAIN,
            **data,
            "trainer.max_epochs": variant.longer * data["trainer.max_epochs"],
            "model.optimizer.lr": rate * variant.rate,
            "seed_everything": seed,
            **variant.overrides,
        }
        labels = {"set": self.name, "percent": percent, "method": method, "variant": label, "seed": seed}
        return self.fits.accuracy({**labels, "of": "choosing" if choosing else "the study"}, overrides, variant.extras)


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    rows = list(studied(options, Fits(options.fits, options.minutes)))
    for figure in figures({"runs": rows}):
        spread = f"({figure.low:.2f} to {figure.high:.2f})" if figure.low is not None else ""
        print(f"{figure.table:<14} {figure.row:<28} {figure.column:<44} {figure.value:6.2f} {spread}")
    if options.write:
        measured = {"machine": machine(), "runs": rows}
        write("low_data", measured, figures(measured))


def studied(options: argparse.Namespace, fits: Fits) -> Iterator[dict[str, Any]]:
    """Yields a row for each set, percentage and method of which all seeds are trained."""
    for name in options.sets:
        try:
            study = Study(name, SETS[name], SETS[name].prepare(options.data, options.cache), fits)
        except OutOfTime:
            print(f"{name}: out of time; the same command continues", flush=True)
            continue
        for percent in options.percent:
            yield from of_percentage(study, percent, options.methods, options.seeds)


def of_percentage(study: Study, percent: int, methods: Sequence[str], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    for method in [FIRST, *(method for method in methods if method != FIRST)]:
        try:
            accuracies = [study.accuracy(method, percent, seed) for seed in seeds]
        except OutOfTime:  # others may have been trained before
            print(f"{study.name}, {percent} %, {method}: out of time; the same command continues", flush=True)
            continue
        yield {
            "set": study.name,
            "percent": percent,
            "method": method,
            "variant": study.chosen(method)[0],
            "rate": study.rate,
            "seeds": list(seeds),
            "accuracies": accuracies,
        }


def figures(results: dict[str, Any]) -> list[Figure]:
    """Accuracy over the seeds, and the points over plain fine-tuning with the 95 % interval of their mean."""
    found = []
    plain = {(row["set"], row["percent"]): row for row in results["runs"] if row["method"] == FIRST}
    for row in results["runs"]:
        place = row["set"], row["percent"]
        column, goal = f"{SETS[row['set']].title}, {row['percent']} %", ACCURACIES.get((*place, row["method"]))
        values = [100 * accuracy for accuracy in row["accuracies"]]
        found.append(over_seeds("low_data", row["method"], column, values, "%", goal))
        if row["method"] != FIRST:
            gains = [value - 100 * other for value, other in zip(values, plain[place]["accuracies"], strict=True)]
            goal = GOAL.get(row["percent"]) if row["method"] == COMBINED else None
            found.append(
                Figure(
                    "low_data_gain", row["method"], column, statistics.mean(gains), "points", goal, "higher",
                    *interval(gains),
                )
            )  # fmt: skip
    return found


def interval(differences: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Returns the 95 % interval of the mean by Student's t; of one value there is none."""
    from scipy.stats import t

    if len(differences) < 2:
        return None, None
    mean, deviation, count = statistics.mean(differences), statistics.stdev(differences), len(differences)
    half = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return mean - half, mean + half


def _parser() -> argparse.ArgumentParser:
    every = [*METHODS, COMBINED]
    parser = argparse.ArgumentParser(prog="python -m benchmarks low_data")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fits", type=Path, default=RESULTS / "low_data.jsonl", help="the finished fits")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["cifar10", "resnet56"])
    parser.add_argument("--percent", type=int, nargs="+", choices=(10, 25, 50, 100), default=[10, 25, 50])
    parser.add_argument("--methods", nargs="+", choices=every, default=every, metavar="METHOD", help=", ".join(every))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--minutes", type=float, help="after which no fit is started")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/low_data.json")
    return parser
