"""What a run reports at its end: results, where the time went, and what limited its speed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from lightning.pytorch import Trainer

from resnet_tl.metrics.box_interval import mean_precision_interval
from resnet_tl.metrics.box_scores import LEAST
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.prediction.score_text import described
from resnet_tl.structures.evaluation import BoxEvaluation
from resnet_tl.tracking.pace import Pace, duration
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.summary import Summary

RESAMPLED = 20_000
"""Images, or detections, at most for which the interval is computed: it takes seconds."""
BINNED = 100
"""Images from which the calibration error is reported: the bins of fewer hold chance."""
SLOW = 0.2
"""The share of waiting for data from which the loader is the limit."""


def closing(run: RunFolder, trainer: Trainer, workers: int, cache: str) -> Iterator[str]:
    """Yields the lines.

    Args:
        workers: `data.num_workers`.
        cache: `tuning.cache`.
    """
    (summary,) = (each for each in trainer.callbacks if isinstance(each, Summary))  # type: ignore[attr-defined]
    (pace,) = (each for each in trainer.callbacks if isinstance(each, Pace))  # type: ignore[attr-defined]
    if summary.best:
        yield from results(summary.monitor, summary.best, summary.final, _interval(run))
        yield from old_and_new(summary.monitor, summary.best, summary.final)
    if "temperature" in summary.decisions:
        yield calibration(summary.decisions)
    if "box_scores" in summary.decisions:
        yield box_scores(summary.decisions)
    if "margins" in summary.decisions:
        yield intervals(summary.decisions)
    if shares := summary.shares(trainer):
        parts = [f"{name} {share:.0%}" for name, share in sorted(shares.items(), key=lambda each: -each[1])]
        yield f"time: {duration(pace.seconds)}, of which {', '.join(parts)}"
    if pace.waiting > SLOW:
        yield slow_loader(pace.waiting, workers, os.cpu_count() or 1, cache)


def results(
    headline: str, best: Mapping[str, Any], final: Mapping[str, Any], interval: tuple[float, float] | None
) -> Iterator[str]:
    """Yields a line for the best epoch and one for the last; epochs count from 1, as in the lines before."""
    for title, each in (("best", best), ("final", final)):
        of_best = f"  (95 % interval {interval[0]:.4g} to {interval[1]:.4g})" if interval and title == "best" else ""
        loss = f"  val/loss {each['val/loss']:.4g}" if "val/loss" in each else ""
        yield f"{title:<6} epoch {each['epoch'] + 1:<4} {headline} {each[headline]:.4g}{of_best}{loss}"


def old_and_new(headline: str, best: Mapping[str, Any], final: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the best and the last epoch reach on old and on new classes, of a run that knew some before."""
    groups = [group for group in ("old", "new") if f"{headline}_{group}" in best]
    for title, each in (("best", best), ("final", final)) if groups else ():
        scores = "  ".join(f"{group} classes {each[f'{headline}_{group}']:.4g}" for group in groups)
        yield f"{title:<6} {headline}, mean of {scores}"


def calibration(decisions: Mapping[str, Any]) -> str:
    """Returns what the temperature changes; of one for each class, their range. Runs of earlier versions have not
    counted their images."""
    low, high = min(decisions["temperature"]), max(decisions["temperature"])
    temperature = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f} by class"
    line = f"calibrated for predict: temperature {temperature}"
    if decisions.get("images", BINNED) < BINNED:
        return line
    return f"{line}, expected calibration error {decisions['ece']:.3f} before, {decisions['calibrated_ece']:.3f} after"


def intervals(decisions: Mapping[str, Any]) -> str:
    """Returns how wide the intervals of predicted numbers are, by what validation has measured."""
    each = ", ".join(f"{name} {margin:+.4g}" for name, margin in decisions["margins"].items())
    return (
        f"intervals for predict: {each} beyond the number or its quantiles, for {decisions['coverage']:.0%} of images "
        f"like the {decisions['images']} of validation"
    )


def box_scores(decisions: Mapping[str, Any]) -> str:
    """Returns from which scores on objects are predicted."""
    scores = decisions["box_scores"]
    each = described(np.array([*scores.values()]), [*scores])
    return (
        f"objects for predict: scores from {each}, where F1 is best: that of a class, or of all classes together for "
        f"one with fewer than {LEAST} objects or without hits"
    )


def slow_loader(waiting: float, workers: int, cores: int, cache: str) -> str:
    """Returns what to change where training waits for data."""
    change = f"raise data.num_workers ({workers}, of {cores} cores)" if workers < cores else "lower data.image_size"
    caching = ", or cache what frozen stages compute (tuning.cache: auto)" if cache == "off" else ""
    return f"training waited for data in {waiting:.0%} of its time: {change}{caching}"


def _interval(run: RunFolder) -> tuple[float, float] | None:
    """95 % interval of the headline of the best epoch; None for metrics without one, and for large sets."""
    if not run.best_predictions.is_file():
        return None
    evaluation = load_evaluation(run.best_predictions)
    if isinstance(evaluation, BoxEvaluation):
        return mean_precision_interval(evaluation) if 0 < len(evaluation.labels) <= RESAMPLED else None
    metrics: Any = metrics_of(evaluation)
    if not hasattr(metrics, "interval") or not 0 < len(evaluation) <= RESAMPLED:
        return None
    low, high = metrics.interval()
    return (low, high) if low < high else None  # all resamples equal, or NaN
