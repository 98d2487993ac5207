"""How good a classifier's answers are, exactly, on any number of processes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from resnet_tl.metrics.multiclass import MultiClassCounts, MultiClassResults
from resnet_tl.metrics.multilabel import MultiLabelCollection, MultiLabelResults


class ClassificationMetrics(nn.Module):
    """Scores of one pass over a set: a module of the task, so that it follows the task's device.

    `update` stays on the device and waits for nothing. The first of `compute`, `tables`, `interval` and `answers` after
    an update gathers from all processes, so every process calls it; the others then read what was gathered.
    Counts are summed over processes, then divided: how images were dealt out to them changes nothing.

    Args:
        classes: K names.
        multi_label: any number of classes is true of an image.

    `headline` is the key of the score that a run is judged by: `acc`, or `map` of multi-label.
    """

    def __init__(self, classes: list[str], multi_label: bool = False) -> None:
        super().__init__()
        self.classes = classes
        self.headline = "map" if multi_label else "acc"
        self.seen = MultiLabelCollection() if multi_label else MultiClassCounts(len(classes))

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        """One batch: probabilities `[N, K]` fp32; targets `[N]` or multi-hot `[N, K]`; keep `[N]`, False at fillers."""
        self.seen.update(probabilities, targets, keep)

    def compute(self, thresholds: Tensor | None = None) -> dict[str, float]:
        """The scores in 0...1; thresholds `[K]` of multi-label, 0.5 where None.

        acc: share of images whose most probable class is the true one (of equally probable ones the first counts).
        top5: share whose true class is among the five most probable; with more than five classes.
        f1: macro-F1, the mean over the classes that occur among truths or results.
        ece: expected calibration error, 15 bins of equal width (lo, hi] (arXiv:1706.04599, section 2).
        map: mean over the classes that occur of the average precision, the step-wise area without interpolation.
        Multi-class has acc, top5, f1, ece; multi-label has map, f1.
        """
        results = self.results()
        return results.scores() if isinstance(results, MultiClassResults) else results.scores(thresholds)

    def tables(self, thresholds: Tensor | None = None) -> dict[str, Any]:
        """`per_class`: one dict a class with its name, its number of images, precision, recall (a class's accuracy)
        and f1; multi-label also ap and threshold. What would be 0/0, as the recall of a class without images, is
        None. Multi-class also `confusion`: `[K][K]` counts, a row a true class, a column an answer."""
        results = self.results()
        if isinstance(results, MultiClassResults):
            return {"per_class": results.per_class(self.classes), "confusion": results.confusion.tolist()}
        return {"per_class": results.per_class(self.classes, thresholds)}

    def interval(self) -> tuple[float, float]:
        """The headline's 95 % bootstrap interval (percentiles of 1,000 seeded resamples of the images)."""
        return self.results().interval()

    def results(self) -> MultiClassResults | MultiLabelResults:
        """What all processes saw, on the CPU; multi-label's has `probabilities` and `targets` `[N, K]`."""
        return self.seen.compute()

    def reset(self) -> None:
        self.seen.reset()
