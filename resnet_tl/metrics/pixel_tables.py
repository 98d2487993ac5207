"""The tables of a segmentation network's evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.bootstrap import Counts, Floats, completed, once, percentiles, resampled
from resnet_tl.metrics.per_class import column_means, quotient, without
from resnet_tl.metrics.score_tables import (
    NOT_FINITE,
    ScoreTables,
    assembled,
    named,
    score,
    with_columns,
    with_intervals,
)
from resnet_tl.metrics.segmentation import SegmentationMetrics, class_pixels
from resnet_tl.structures.evaluation import PixelEvaluation

DISTANCES = ("assd", "hd95")


def pixel_tables(evaluation: PixelEvaluation, metrics: SegmentationMetrics) -> ScoreTables:
    """Computes the tables; means over classes are over those that occur in masks or predictions, without `absent`.

    dice: the mean over classes of 2 intersection / (predicted + true pixels), each summed over the set.
    mean_acc: the mean over classes of their recall.
    assd, hd95: the mean over classes of the mean distance over the images whose predicted and true masks both have
        surfaces of the class, see `surface_distances`; `unmatched` counts the images where only one has some.
    """
    logged, counted, results = metrics.compute(), metrics.tables(), metrics.results()
    if not np.isfinite(evaluation.losses).all():
        unknown = [score(name, np.nan) for name in logged]
        return ScoreTables(assembled(unknown, counted, evaluation.classes), [NOT_FINITE])
    pixels = results.images
    whole = once(len(evaluation))
    by_class = _scores(pixels, whole) | _distances(evaluation.surfaces, whole)
    drawn = resampled(len(evaluation), lambda drawn: _scores(pixels, drawn) | _distances(evaluation.surfaces, drawn))
    values = {name: float(each[0]) for name, each in _means(by_class, evaluation.absent).items()} | logged
    complete = {name: completed(each, by_class[name]) for name, each in drawn.items()}
    intervals = {name: percentiles(each) for name, each in _means(complete, evaluation.absent).items()}
    summary = [score(name, value, intervals.get(name)) for name, value in values.items()]

    columns: dict[str, NDArray] = {name: each[:, 0] for name, each in by_class.items() if name in DISTANCES}
    if evaluation.surfaces is not None:
        columns["unmatched"] = np.isinf(evaluation.surfaces[..., 0]).sum(0)
    table = with_columns(counted["per_class"], columns)
    shown = {name: each for name, each in drawn.items() if name in table[0]}
    counted["per_class"] = with_intervals(table, shown)
    return ScoreTables(assembled(summary, counted, evaluation.classes), list(_notes(evaluation, results.confusion)))


def _scores(images: NDArray[np.int64], drawn: Counts) -> dict[str, Floats]:
    """Computes scores by class `[K, R]`, and `pixel_acc` `[R]`."""
    correct, targets, predicted = class_pixels(images, drawn)
    return {
        "iou": quotient(correct, targets + predicted - correct),
        "dice": quotient(2 * correct, targets + predicted),
        "recall": quotient(correct, targets),
        "precision": quotient(correct, predicted),
        "pixel_acc": quotient(correct.sum(0), targets.sum(0)),
    }


def _distances(surfaces: Floats | None, drawn: Counts) -> dict[str, Floats]:
    """Computes mean distances by class, `[K, R]`, if there are any."""
    if surfaces is None:
        return {}
    finite = np.isfinite(surfaces)
    sums, images = (np.tensordot(each, drawn, ((0,), (0,))) for each in (np.where(finite, surfaces, 0.0), finite))
    return dict(zip(DISTANCES, quotient(sums, images).swapaxes(0, 1), strict=True))


def _means(scores: Mapping[str, Floats], absent: Sequence[int]) -> dict[str, Floats]:
    """Returns scores `[R]` in the order of the summary."""
    return {
        "miou": column_means(without(scores["iou"], absent)),
        "dice": column_means(without(scores["dice"], absent)),
        "pixel_acc": scores["pixel_acc"],
        "mean_acc": column_means(scores["recall"]),
        **{name: column_means(scores[name]) for name in DISTANCES if name in scores},
    }


def _notes(evaluation: PixelEvaluation, confusion: NDArray[np.int64]) -> Iterator[str]:
    """Yields what the means over classes exclude."""
    targets, predicted = confusion.sum(1), confusion.sum(0)
    missing = np.flatnonzero(targets == 0).tolist()
    if missing:
        yield f"no mask shows {named(evaluation.classes, missing)}: means over classes are over the others"
    wrong = [k for k in missing if predicted[k] and k not in evaluation.absent]
    if wrong:
        yield f"{named(evaluation.classes, wrong)}: predicted without being there, so 0 in the means of IoU and Dice"
    if evaluation.surfaces is not None:
        yield (
            "surface distances are means over the images whose true and predicted masks both have a surface of the "
            "class, which a class that fills the image lacks"
        )
