"""Exact metrics of classifiers, on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from resnet_tl.metrics.multiclass import MultiClassCounts, MultiClassResults
from resnet_tl.metrics.multilabel import MultiLabelResults, MultiLabelStore
from resnet_tl.metrics.per_class import Tables

CONFUSION = 1000
"""Classes at most, for which there is a confusion matrix."""


class ClassificationMetrics(nn.Module):
    """Scores of one pass over a set. A submodule of the task, so that it follows the task's device.

    `update` never synchronises with the device. The first of `compute`, `tables`, `interval` and `results` after an
    update gathers from all ranks, so every rank must call it; the others reuse what was gathered.
    Counts are summed over ranks, then divided: the distribution of images over ranks does not change the scores.

    Args:
        classes: K names.
        multi_label: an image may have any number of classes.

    Attributes:
        absent: classes that the set does not show at all, which means over classes exclude even where they are
            predicted: those of a checkpoint that is evaluated on another set.

    `headline` is the key of the score that runs are compared by: `acc`, or `map` for multi-label.
    """

    def __init__(self, classes: list[str], multi_label: bool = False) -> None:
        super().__init__()
        self.classes = classes
        self.absent: Sequence[int] = ()
        self.headline = "map" if multi_label else "acc"
        self.metric = MultiLabelStore() if multi_label else MultiClassCounts(len(classes))

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        """Adds a batch: probabilities `[N, K]` fp32, 0...1; targets `[N]` or multi-hot `[N, K]`; keep `[N]`, False for
        fillers."""
        self.metric.update(probabilities, targets, keep)

    def compute(self, thresholds: Tensor | None = None) -> dict[str, float]:
        """Returns the scores, 0...1. `thresholds` `[K]` are those of multi-label; None: 0.5.

        acc: share of images whose most probable class is the true one (of equally probable classes, the first counts).
        top5: share of images whose true class is among the five most probable; only with more than five classes.
        f1: macro-F1, the mean over the classes that occur in targets or predictions.
        ece: expected calibration error, 15 bins of equal width (lo, hi] (arXiv:1706.04599, section 2).
        map: average precision (step-wise area, without interpolation), the mean over the classes that occur.
        Multi-class has acc, top5, f1, ece; multi-label has map, f1.
        """
        results = self.results()
        if isinstance(results, MultiClassResults):
            return results.scores(self.absent)
        return results.scores(thresholds, self.absent)

    def tables(self, thresholds: Tensor | None = None) -> Tables:
        """Returns `per_class`, one dict per class with its name, number of images, precision, recall (the accuracy of
        the class) and f1, for multi-label also ap and threshold; None where it would be 0/0, as the recall of a class
        without images. Multi-class with at most `CONFUSION` classes adds `confusion`, `[K][K]` counts: rows are true
        classes, columns predictions."""
        results = self.results()
        if isinstance(results, MultiClassResults):
            tables: Tables = {"per_class": results.per_class(self.classes)}
            if len(self.classes) <= CONFUSION:
                tables["confusion"] = results.confusion().tolist()
            return tables
        return {"per_class": results.per_class(self.classes, thresholds)}

    def interval(self) -> tuple[float, float]:
        """Returns the 95 % bootstrap interval of the headline (percentiles of 1,000 seeded resamples of the images)."""
        return self.results().interval()

    def results(self) -> MultiClassResults | MultiLabelResults:
        """Returns the results of all ranks, on the CPU; those of multi-label hold `probabilities` and `targets`
        `[N, K]`."""
        return self.metric.compute()

    def reset(self) -> None:
        self.metric.reset()
