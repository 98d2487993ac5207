"""Multi-class metrics: one true class per image. Every score is a quotient of counts that add up over batches and
ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from resnet_tl.metrics.bootstrap import accuracy_interval
from resnet_tl.metrics.per_class import Ratios, Row, rows
from resnet_tl.metrics.stored import joined

BINS = 15
UNIT = 2**30
"""Confidences are summed as integers, in units of 1 / UNIT: sums are the same in any order, on any device and rank."""


class MultiClassResults(NamedTuple):
    """Of N images with K classes.

    classes: K. targets, predicted: `[N]` int64. top5: images whose true class is among the five most probable.
    bins: `[BINS, 3]`: images, correct images, confidence in 1 / UNIT. broken: images with outputs that are NaN or
    infinite; with any of them, all scores are NaN, so that such an epoch is never the best.
    """

    classes: int
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    top5: int
    bins: Tensor
    broken: int

    def scores(self, absent: Sequence[int] = ()) -> dict[str, float]:
        images = len(self.targets)
        scores = {"acc": self._correct() / images}
        if self.classes > 5:
            scores["top5"] = self.top5 / images
        _, correct, confidence = self.bins.double().T
        error = (correct - confidence / UNIT).abs().sum() / images
        scores |= {"f1": self._ratios().macro_f1(absent), "ece": float(error)}
        return dict.fromkeys(scores, math.nan) if self.broken else scores

    def per_class(self, classes: list[str]) -> list[Row]:
        return rows(classes, images=self._count(self.targets), **self._ratios()._asdict())

    def interval(self) -> tuple[float, float]:
        return accuracy_interval(self._correct(), len(self.targets))

    def confusion(self) -> NDArray[np.int64]:
        """`[K, K]` counts: (target, predicted)."""
        cells = np.bincount(self.targets * self.classes + self.predicted, minlength=self.classes**2)
        return cells.reshape(self.classes, self.classes)

    def _correct(self) -> int:
        return int((self.targets == self.predicted).sum())

    def _count(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(classes, minlength=self.classes)

    def _ratios(self) -> Ratios:
        correct = self.targets[self.targets == self.predicted]
        return Ratios.of(*map(self._count, (correct, self.predicted, self.targets)))


class MultiClassCounts(Metric):
    """Counts on the device, with torchmetrics' states and their exchange between ranks. torchmetrics' multi-class
    metrics synchronise with the device in every update (`unique`, `bincount`, boolean masks).

    Targets and predictions are stored, 16 bytes per image: a confusion matrix of 10,000 classes would be 800 MB.
    """

    full_state_update = False
    pairs: list[Tensor]
    top5: Tensor
    bins: Tensor
    broken: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("pairs", [], dist_reduce_fx="cat")
        for name, shape in (("top5", ()), ("bins", (BINS, 3)), ("broken", ())):
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        # Shapes must not depend on values: a boolean mask would wait for the device. So fillers pass through with
        # weight 0, and as the target -1.
        confidence, predicted = probabilities.max(1)
        self.pairs.append(torch.stack([targets.where(keep, -1), predicted], 1))
        targets = targets.where(keep, 0)
        self.top5 = self.top5 + ((_rank(probabilities, targets) < 5) & keep).sum()
        finite = probabilities.isfinite().all(1)
        self.broken = self.broken + (~finite & keep).sum()
        confidence = confidence.where(finite, 0)
        bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        correct, confidence = (predicted == targets).long(), (confidence * UNIT).round().long()
        images = torch.stack([torch.ones_like(predicted), correct, confidence], 1)
        self.bins = self.bins.index_add(0, bins, images * keep.long()[:, None])

    def compute(self) -> MultiClassResults:
        pairs = joined(self.pairs).cpu().numpy()
        targets, predicted = pairs[pairs[:, 0] >= 0].T
        return MultiClassResults(self.classes, targets, predicted, int(self.top5), self.bins.cpu(), int(self.broken))


def _rank(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Counts the classes that rank before the true one, `[N]`: more probable ones, and equally probable ones with a
    lower index."""
    of_target = probabilities.gather(1, targets[:, None])
    earlier = torch.arange(probabilities.shape[1], device=targets.device) < targets[:, None]
    return ((probabilities > of_target) | ((probabilities == of_target) & earlier)).sum(1)
