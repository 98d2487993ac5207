"""Whether `resnet-tl rank` orders weights as fine-tuning does: Kendall's tau between each of its scores and accuracy.

python -m benchmarks ranking --recipes RECIPE ... --weights BACKBONE=WEIGHTS ... [--write] [--seeds 1 2 3] [--images N]

A recipe is one word, with its overrides: "classify/folder_resnet50_finetune --data.root photos". Each of the weights is
rated on its training images, and fine-tuned by it once a seed; accuracy is that of the last epoch on its validation
images, averaged over the seeds. Tau (of tau-b, where scores are equal) is 1 for the same order, 0 for an unrelated one
and -1 for the reverse. LEEP and NCE are compared where all weights have a classifier.
"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Figure, write
from benchmarks.fits import SEEDS, measure
from benchmarks.machine import machine

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


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    recipes = {
        recipe: rated_and_tuned(shlex.split(recipe), options.weights, options.images, options.seeds)
        for recipe in options.recipes
    }
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
        scores = {column: getattr(rated, field) for column, field in SCORES.items()}
        rows.append({"weights": str(rated.candidate), "scores": scores, "accuracies": runs.accuracies})
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ranking")
    parser.add_argument("--recipes", nargs="+", required=True, metavar="RECIPE")
    parser.add_argument("--weights", nargs="+", required=True, metavar="BACKBONE=WEIGHTS")
    parser.add_argument("--images", type=int, default=5000, help="training images that weights are rated on, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/ranking.json")
    return parser
