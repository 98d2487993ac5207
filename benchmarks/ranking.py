"""Whether `resnet-tl rank` orders weights as fine-tuning does: Kendall's tau between each of its scores and accuracy.

python -m benchmarks ranking --recipes RECIPE ... --weights BACKBONE=WEIGHTS ... [--write] [--seeds 1 2 3] [--images N]
python -m benchmarks ranking --data DIR [--cache DIR] [--fits FILE] [--minutes M] [--write] [--seeds 1 2 3]

A recipe is one word, with its overrides: "classify/folder_resnet50_finetune --data.root photos". Each of the weights is
rated on its training images, and fine-tuned by it once a seed; accuracy is that of the last epoch on its validation
images, averaged over the seeds. Tau (of tau-b, where scores are equal) is 1 for the same order, 0 for an unrelated one
and -1 for the reverse. LEEP and NCE are compared where all weights have a classifier.

With --data the weights are ResNet-20s that are first trained (in --cache) on half of the classes of CIFAR-10, or some
of these, on many or few images, for long or briefly: `OWN`. They are fine-tuned plainly, as `low_data` does, on 10 % of
the training images of the other five classes, and on 25 % of ants and bees at 64 pixels; there, the published ResNet-20
and ResNet-56 of CIFAR-10 are compared, too. --data, --cache, --fits and --minutes are as in `low_data`.
"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import RESULTS, Figure, write
from benchmarks.fits import SEEDS, measure
from benchmarks.low_data_methods import PLAIN
from benchmarks.low_data_sets import HALVES, SETS, resnet20, train_resnet20
from benchmarks.machine import machine
from benchmarks.short_fits import CACHE, RECIPE, Fits, OutOfTime, Overrides

SCORES = {
    "probe": "probe",
    "earlier": "earlier",
    "k-NN": "neighbours",
    "LogME": "log_me",
    "H-score": "h_score",
    "LEEP": "leep",
    "NCE": "nce",
}
"""Columns of `resnet-tl rank`, and the fields of `resnet_tl.run.rank.Rated`."""

KNOWN = HALVES[0]
OWN: dict[str, tuple[Sequence[str], int, int]] = {
    "airplane": (KNOWN, 8, 5000),  # the weights of `low_data`
    "briefly": (KNOWN, 1, 5000),
    "of_500": (KNOWN, 8, 500),
    "of_100": (KNOWN, 20, 100),
    "vehicles": (KNOWN[:2], 2, 5000),
    "animals": (KNOWN[2:], 1, 5000),
}
"""Classes, epochs and images of each class that a ResNet-20 is trained on."""
PUBLISHED = ("resnet20", "resnet56")
"""Sets of `low_data_sets` whose weights have seen all classes of CIFAR-10: compared on ants and bees alone."""
STUDIED = {"cifar10": 10, "resnet20": 25}
"""Sets, and the percentage of their training images."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    recipes = {
        recipe: rated_and_tuned(shlex.split(recipe), options.weights, options.images, options.seeds)
        for recipe in options.recipes
    }
    if options.data is not None:
        recipes |= of_own_weights(options.data, options.cache, Fits(options.fits, options.minutes), options.seeds)
    measured = {"machine": machine(), "seeds": options.seeds, "recipes": recipes}
    for figure in figures(measured):
        print(f"{figure.row:<40} {figure.column:<8} {figure.value:6.2f}")
    if options.write:
        write("ranking", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Tau of each recipe and score; none where a score or the accuracy is the same for all weights."""
    from scipy.stats import kendalltau

    found = []
    for recipe, rows in results["recipes"].items():
        accuracies = [statistics.mean(row["accuracies"]) for row in rows]
        for column in SCORES:
            scores = [row["scores"][column] for row in rows]
            tau = math.nan if None in scores else float(kendalltau(scores, accuracies).statistic)
            if not math.isnan(tau):
                found.append(Figure("ranking", recipe, column, tau, "", better="higher"))
    return found


def rated_and_tuned(
    recipe: Sequence[str], weights: Sequence[str], images: int, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Returns scores and accuracies (0...1) of each of the weights, the best probe first.

    recipe: its name, then `--KEY VALUE` in turn.
    """
    from resnet_tl.run.rank import rank

    name, *words = recipe
    overrides = [(key.removeprefix("--"), value) for key, value in zip(words[::2], words[1::2], strict=True)]
    rows = []
    for rated in rank([name], overrides, weights, images=images).rated:
        backbone, own = rated.candidate
        tuned = ["--model.backbone.name", backbone, "--model.backbone.weights", own]
        runs = measure(str(rated.candidate), ["-c", name, *words, *tuned], seeds)
        rows.append({"weights": str(rated.candidate), "scores": _scores(rated), "accuracies": runs.accuracies})
    return rows


def of_own_weights(data: Path, cache: Path, fits: Fits, seeds: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of `rated_and_tuned` for each set of `STUDIED` that there is time for."""
    own = {f"resnet20_{name}": resnet20(_trained(name, data, cache)) for name in OWN}
    published = {f"published {name}": _network(SETS[name].prepare(data, cache)) for name in PUBLISHED}
    found = {}
    for name, percent in STUDIED.items():
        images = SETS[name]
        common = {
            **PLAIN,
            **images.data(images.prepare(data, cache), percent, choosing=False),
            "model.optimizer.lr": images.rates[1],
        }
        title = f"{images.title.partition(',')[0]}, {percent} %"
        try:
            found[title] = _compared(name, common, own if name == "cifar10" else {**own, **published}, fits, seeds)
        except OutOfTime:
            print(f"{title}: out of time; the same command continues", flush=True)
    return found


def _trained(name: str, data: Path, cache: Path) -> Path:
    file = cache / f"resnet20_{name}.ckpt"
    if not file.exists():
        classes, epochs, count = OWN[name]
        train_resnet20(data, cache, classes, file, epochs, count)
    return file


def _network(prepared: Overrides) -> Overrides:
    return {key: value for key, value in prepared.items() if key.startswith("model.backbone.")}


def _compared(
    name: str, common: Overrides, networks: dict[str, Overrides], fits: Fits, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    from resnet_tl.run.rank import rank

    by_candidate = {"=".join(network.values()): label for label, network in networks.items()}
    rows = []
    for rated in rank([RECIPE], list(common.items()), list(by_candidate)).rated:
        label = by_candidate[str(rated.candidate)]
        accuracies = [
            fits.accuracy(
                {"set": name, "weights": label, "seed": seed}, {**common, **networks[label], "seed_everything": seed}
            )
            for seed in seeds
        ]
        rows.append({"weights": label, "scores": _scores(rated), "accuracies": accuracies})
    return rows


def _scores(rated: Any) -> dict[str, float | None]:
    return {column: getattr(rated, field) for column, field in SCORES.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ranking")
    parser.add_argument("--recipes", nargs="+", default=[], metavar="RECIPE")
    parser.add_argument("--weights", nargs="+", default=[], metavar="BACKBONE=WEIGHTS", help="with --recipes")
    parser.add_argument("--images", type=int, default=5000, help="training images that weights are rated on, at most")
    parser.add_argument("--data", type=Path, help="compares weights that are trained for it")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fits", type=Path, default=RESULTS / "ranking.jsonl", help="the finished fits")
    parser.add_argument("--minutes", type=float, help="after which no fit is started")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/ranking.json")
    return parser
