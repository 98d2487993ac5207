"""A segmentation network's tables equal counts over all pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resnet_tl.metrics.bootstrap import resample
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.score_tables import ScoreTables
from resnet_tl.metrics.tables import tables_of
from resnet_tl.structures.evaluation import PixelEvaluation

IMAGES, CLASSES = 30, 4


def pixels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes `[N, P]`; class 3 is never true."""
    draw = np.random.default_rng(seed)
    target = draw.choice(3, (IMAGES, 200), p=[0.6, 0.3, 0.1])
    return target, np.where(draw.random(target.shape) < 0.8, target, draw.integers(0, CLASSES, target.shape))


def evaluation(**fields: Any) -> PixelEvaluation:
    cells = []
    for image, (target, guess) in enumerate(zip(*pixels(), strict=True)):
        pairs, counts = np.unique(np.stack([target, guess], 1), axis=0, return_counts=True)
        cells += [(image, *pair, count) for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)]
    defaults: dict[str, Any] = {
        "classes": [f"class {k}" for k in range(CLASSES)],
        "root": "nowhere",
        "split": "val",
        "step": 1,
        "absent": [],
        "keys": np.array([f"{image:03}.png" for image in range(IMAGES)]),
        "losses": np.zeros(IMAGES, np.float32),
        "cells": np.array(cells),
        "edges": np.zeros((CLASSES, 4), np.int64),
    }
    return PixelEvaluation(**{**defaults, **fields})


def column(tables: ScoreTables, name: str) -> list[Any]:
    return [row[name] for row in tables.tables["per_class"]]


def summary(tables: ScoreTables) -> dict[str, Any]:
    return {str(row["metric"]): row["value"] for row in tables.tables["summary"]}


def test_scores_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    target, guess = (each.ravel() for each in pixels())
    tables, labels = tables_of(evaluation()), range(CLASSES)
    dice = sklearn.f1_score(target, guess, average=None, labels=labels)
    iou = sklearn.jaccard_score(target, guess, average=None, labels=labels)
    assert column(tables, "dice") == pytest.approx(dice.tolist())
    assert column(tables, "iou") == pytest.approx(iou.tolist())
    assert summary(tables) == pytest.approx(
        {
            "miou": iou.mean(),
            "dice": dice.mean(),
            "pixel_acc": sklearn.accuracy_score(target, guess),
            "mean_acc": sklearn.balanced_accuracy_score(target, guess),
        }
    )
    assert tables.notes == [
        "no mask shows class 3: means over classes are over the others",
        "class 3: predicted without being there, so 0 in the means of IoU and Dice",
    ]


def test_intervals_are_over_the_images() -> None:
    e = evaluation(absent=[3])
    tables, (target, guess) = tables_of(e), pixels()
    drawn, dice = resample(np.random.default_rng(0), IMAGES, 1000), []
    for k in range(3):
        both, either = ((target == k) & (guess == k)).sum(1), (target == k).sum(1) + (guess == k).sum(1)
        dice.append(2 * (both @ drawn) / (either @ drawn))
    ends = zip(column(tables, "dice_low")[:3], column(tables, "dice_high")[:3], strict=True)
    assert list(ends) == pytest.approx(np.percentile(dice, [2.5, 97.5], axis=1).T)
    rows = {row["metric"]: (row["low"], row["high"]) for row in tables.tables["summary"]}
    assert rows["dice"] == pytest.approx(np.percentile(np.mean(dice, 0), [2.5, 97.5]))
    assert tables.interval == pytest.approx(metrics_of(e).interval())  # type: ignore[union-attr]
    assert len(tables.notes) == 1


def test_mean_distances_are_over_the_images_that_have_both_surfaces() -> None:
    draw = np.random.default_rng(0)
    surfaces = draw.uniform(0, 9, (IMAGES, CLASSES, 2))
    surfaces[:4, 1], surfaces[4:6, 1], surfaces[:, 3] = math.inf, math.nan, math.nan
    tables = tables_of(evaluation(surfaces=surfaces))
    expected = [surfaces[:, 0, 0].mean(), surfaces[6:, 1, 0].mean(), surfaces[:, 2, 0].mean(), None]
    assert column(tables, "assd") == pytest.approx(expected)
    assert summary(tables)["hd95"] == pytest.approx(
        np.mean([surfaces[:, 0, 1].mean(), surfaces[6:, 1, 1].mean(), surfaces[:, 2, 1].mean()])
    )
    assert column(tables, "unmatched") == [0, 4, 0, 0]
    assert all(row["low"] < row["value"] < row["high"] for row in tables.tables["summary"] if row["metric"] == "assd")
    assert tables.notes[-1].startswith("surface distances are means over the images whose")
    assert "both have a surface of the class, which a class that fills the image lacks" in tables.notes[-1]


def test_outputs_that_are_nan_have_no_scores() -> None:
    e = evaluation()
    tables = tables_of(replace(e, losses=np.full(IMAGES, np.nan, np.float32)))
    assert set(summary(tables).values()) == {None}
