"""Calibration, sets of possible classes, and images of other kinds, on CIFAR-10 and on ants and bees.

python -m benchmarks unsure --data DIR --run RUN [--images N]

--data holds cifar10/test.zip, cifar10/train.zip (class folders), weights/resnet20-12fca82f.th
(github.com/akamaster/pytorch_resnet_cifar10), hymenoptera/{train,val}, bccd/JPEGImages and camvid/*/images; --run is a
classifier of the ants and bees. Images of other kinds are random square crops of blood cells and of street scenes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

import resnet_tl
from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.listings.listing import Listing
from resnet_tl.metrics.class_space import fit_space
from resnet_tl.metrics.conformal import possible_from
from resnet_tl.metrics.outliers import SCORES
from resnet_tl.metrics.temperature import calibration_of, fit_temperature
from resnet_tl.models.network import Backbone
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.run.outliers import spread, spread_over_classes
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.tasks.classification import Classification

SPLITS = 200
Observed = tuple[NDArray, NDArray]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks unsure")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--run", required=True, type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="of CIFAR-10's test images")
    options = parser.parse_args(arguments)
    files = {
        "blood cells": sorted((options.data / "bccd/JPEGImages").glob("*.jpg")),
        "street scenes": sorted((options.data / "camvid").glob("*/images/*")),
    }
    train, test = (ImageFolder(str(options.data / f"cifar10/{name}.zip")) for name in ("train", "test"))
    weights = str(options.data / "weights/resnet20-12fca82f.th")
    task = Classification(train.classes, Backbone("resnet20_cifar", weights=weights, keep_classifier=True))
    listings = spread_over_classes(train.listings["train"]), spread(test.listings["test"], options.images)
    report("CIFAR-10, ResNet-20 as published", ClassPredictor(task.network, train.classes), *listings, files, crops=4)
    ants = ImageFolder(str(options.data / "hymenoptera"))
    predictor = resnet_tl.load(options.run)
    assert isinstance(predictor, ClassPredictor)
    report(f"ants and bees, {options.run}", predictor, ants.listings["train"], ants.listings["val"], files, crops=1)


def report(
    title: str, predictor: ClassPredictor, train: Listing, held_out: Listing, foreign: dict[str, list[Path]], crops: int
) -> None:
    features, _ = observed(predictor, (sample.path for sample in train))
    space = fit_space(features, np.asarray(train.targets))
    familiar = observed(predictor, (sample.path for sample in held_out))
    print(f"{title}: {len(train)} training images, {len(held_out)} others")
    _calibration(evaluation_of(predictor, familiar[1], np.asarray(held_out.targets)))
    for kind, files in foreign.items():
        others = observed(predictor, cropped(files, crops))
        for name, score in SCORES.items():
            of_familiar, of_others = score(space, *familiar), score(space, *others)
            found = (of_others > np.quantile(of_familiar, 0.95)).mean()
            area = auroc(of_familiar, of_others)
            print(f"  {len(others[0])} {kind}, {name}: AUROC {area:.3f}; {found:.0%} found where 95 % are kept")


def _calibration(evaluation: ClassEvaluation) -> None:
    """Fits on one half and measures on the other, over random halves."""
    draw, rows = np.random.default_rng(0), []
    for _ in range(SPLITS):
        order = draw.permutation(len(evaluation))
        fitted, other = (part_of(evaluation, part) for part in np.array_split(order, 2))
        decisions = Decisions(fit_temperature(fitted))
        of_truth, calibrated = (decisions.calibrated(each.probabilities, multi_label=False) for each in (fitted, other))
        least = possible_from(of_truth[np.arange(len(fitted)), fitted.targets])
        possible = calibrated >= least
        covered = possible[np.arange(len(other)), other.targets].mean()
        errors = [calibration_of(other, each) for each in (other.probabilities, calibrated)]
        rows.append([*errors, decisions.temperature[0], covered, possible.sum(1).mean()])
    before, after, temperature, covered, size = np.mean(rows, 0)
    print(f"  {SPLITS} random halves: temperature {temperature:.2f}")
    print(f"  calibration error {before:.4f} before, {after:.4f} after")
    print(f"  the true class is possible for {covered:.2%} (deviation {np.std(rows, 0)[3]:.2%}), of {size:.2f} classes")


def evaluation_of(predictor: ClassPredictor, logits: NDArray, targets: NDArray) -> ClassEvaluation:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    rows = {"keys": np.arange(len(targets)).astype(str), "losses": np.zeros(len(targets), np.float32)}
    shared = {"root": "", "split": "val", "step": 0, "absent": [], "thresholds": np.zeros(0, np.float32)}
    return ClassEvaluation(
        predictor.classes, probabilities=probabilities, targets=targets.astype(np.int64), **rows, **shared
    )


def part_of(evaluation: ClassEvaluation, rows: NDArray) -> ClassEvaluation:
    names = ("keys", "losses", "probabilities", "targets")
    return replace(evaluation, **{name: getattr(evaluation, name)[rows] for name in names})


def observed(predictor: ClassPredictor, sources) -> Observed:  # type: ignore[no-untyped-def]
    _, features, logits = zip(*predictor.observe(sources), strict=True)
    return np.array(features), np.array(logits)


def cropped(files: list[Path], crops: int):  # type: ignore[no-untyped-def]
    """Yields square crops of 0.3 to 1 of the short side."""
    draw = np.random.default_rng(0)
    for file in files:
        image = np.asarray(Image.open(file).convert("RGB"))
        for _ in range(crops):
            side = round(min(image.shape[:2]) * draw.uniform(0.3, 1))
            y, x = (draw.integers(0, length - side + 1) for length in image.shape[:2])
            yield image[y : y + side, x : x + side]


def auroc(familiar: NDArray, others: NDArray) -> float:
    ranks, n, m = rankdata(np.concatenate([others, familiar])), len(others), len(familiar)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))
