"""The tables of a classifier's evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from resnet_tl.metrics.bootstrap import RESAMPLES, Floats, accuracy_interval, completed, once, percentiles, resampled
from resnet_tl.metrics.calibration import calibration_error, confidence_bins
from resnet_tl.metrics.class_scores import ClassCounts, Marks, ranks
from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.evaluated import metric_options
from resnet_tl.metrics.per_class import column_means
from resnet_tl.metrics.score_tables import (
    NOT_FINITE,
    ScoreTables,
    assembled,
    named,
    score,
    with_columns,
    with_intervals,
)
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation

WORK = 3 * 10**8
"""Images times resamples at most, and times classes where probabilities are ranked: some seconds."""
LEAST = 100
"""Resamples at least; probabilities that are too many to be ranked so often have no intervals."""


def class_tables(
    evaluation: ClassEvaluation,
    metrics: ClassificationMetrics,
    specificity: float | None = None,
    temperature: Sequence[float] | None = None,
) -> ScoreTables:
    """Computes the tables.

    Args:
        specificity: at which the sensitivity is computed; None: not at all.
        temperature: of several labels: the table has the thresholds of calibrated probabilities, too.
    """
    options = metric_options(evaluation)
    logged, counted = metrics.compute(**options), metrics.tables(**options)
    if not np.isfinite(evaluation.probabilities).all():
        unknown = [score(name, np.nan) for name in logged]
        return ScoreTables(assembled(unknown, counted, evaluation.classes), [NOT_FINITE])

    images, classes = evaluation.probabilities.shape
    marks, ranked = Marks(evaluation), partial(ranks, evaluation, specificity=specificity)
    whole, small = once(images), images * classes * LEAST <= WORK
    counts, of_ranks = ClassCounts(**marks.counts(whole)), ranked(whole)
    drawn = ClassCounts(**resampled(images, marks.counts, _resamples(max(images, 100 * classes))))
    drawn_ranks = resampled(images, ranked, _resamples(images * classes)) if small else {}

    values = {name: float(each[0]) for name, each in _means(evaluation, counts, of_ranks, counts).items()} | logged
    if evaluation.multi_label:
        values["ece"] = _label_calibration(evaluation)
    complete = {name: completed(each, of_ranks[name]) for name, each in drawn_ranks.items()}
    means = _means(evaluation, drawn, complete, counts)
    intervals = {name: percentiles(each) for name, each in means.items()} | {metrics.headline: metrics.interval()}
    if "top5" in logged:
        intervals["top5"] = accuracy_interval(round(logged["top5"] * images), images)
    first = [name for name in (metrics.headline, "top5") if name in logged]
    summary = [score(name, values[name], intervals.get(name)) for name in dict.fromkeys([*first, *values])]

    columns = {name: each[:, 0] for name, each in of_ranks.items()}
    notes = [*_notes(evaluation, counts), *([] if small else [TOO_LARGE])]
    if evaluation.multi_label and temperature is not None:
        limits = Decisions(list(temperature)).calibrated(evaluation.thresholds[None], multi_label=True)
        columns["calibrated_threshold"] = limits[0]
        notes.append(CALIBRATED)
    table = with_columns(counted["per_class"], columns)
    counted["per_class"] = with_intervals(table, {**drawn.by_class(), **drawn_ranks})
    return ScoreTables(assembled(summary, counted, evaluation.classes), notes)


TOO_LARGE = "the set is too large for intervals of mAP and AUROC"
CALIBRATED = (
    "probabilities are scored before calibration, and so is `threshold`; `predict` shows calibrated ones, and names a "
    "class from its `calibrated_threshold` on"
)


def _means(
    evaluation: ClassEvaluation, counts: ClassCounts, of_ranks: Mapping[str, Floats], whole: ClassCounts
) -> dict[str, Floats]:
    """Returns scores `[R]` in the order of the summary."""
    means = counts.means(evaluation.absent, whole)
    if evaluation.multi_label:
        means |= counts.micro()
    else:
        means = {"balanced_acc": means["recall_macro"], **means, "kappa": counts.kappa()}
    return means | {"map" if name == "ap" else name: column_means(each) for name, each in of_ranks.items()}


def _label_calibration(evaluation: ClassEvaluation) -> float:
    """Returns the expected calibration error over all labels of all images."""
    return calibration_error(confidence_bins(evaluation.probabilities.ravel(), evaluation.targets.ravel() > 0))


def _resamples(work: int) -> int:
    """Returns how often a set is resampled."""
    return int(np.clip(WORK // work, LEAST, RESAMPLES))


def _notes(evaluation: ClassEvaluation, counts: ClassCounts) -> Iterator[str]:
    """Yields what the means over classes exclude."""
    images, predictions = counts.targets[:, 0], counts.predicted[:, 0]
    missing = [k for k in range(len(images)) if not images[k]]
    if missing:
        yield f"no image shows {named(evaluation.classes, missing)}: means over classes are over the others"
    wrong = [k for k in missing if predictions[k] and k not in evaluation.absent]
    if wrong:
        yield f"{named(evaluation.classes, wrong)}: predicted without an image, so 0 in the means of precision and F1"
    every = np.flatnonzero(images == len(evaluation)).tolist()
    if every:
        yield f"all images show {named(evaluation.classes, every)}: no AUROC, which needs others"
