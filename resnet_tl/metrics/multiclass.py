"""Multi-class metrics: one true class per image. Every score is a quotient of counts that add up over batches and
ranks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from resnet_tl.metrics.bootstrap import accuracy_interval
from resnet_tl.metrics.per_class import Ratios, rows

BINS = 15
UNIT = 2**30
"""Confidences are summed as integers, in units of 1 / UNIT: sums are the same in any order, on any device and rank."""


class MultiClassResults(NamedTuple):
    """Counts of images. confusion `[K, K]`: (target, predicted); top5 `[]`; bins `[BINS, 3]`: images, correct images,
    confidence in 1 / UNIT."""

    confusion: Tensor
    top5: Tensor
    bins: Tensor

    def scores(self) -> dict[str, float]:
        images = int(self.confusion.sum())
        scores = {"acc": int(self.confusion.trace()) / images}
        if len(self.confusion) > 5:
            scores["top5"] = int(self.top5) / images
        _, correct, confidence = self.bins.double().T
        error = (correct - confidence / UNIT).abs().sum() / images
        return scores | {"f1": self._ratios().macro_f1(), "ece": float(error)}

    def per_class(self, classes: list[str]) -> list[dict[str, Any]]:
        return rows(classes, images=self.confusion.sum(1).numpy(), **self._ratios()._asdict())

    def interval(self) -> tuple[float, float]:
        return accuracy_interval(int(self.confusion.trace()), int(self.confusion.sum()))

    def _ratios(self) -> Ratios:
        counts = self.confusion.numpy()
        return Ratios.of(correct=np.diag(counts), predicted=counts.sum(0), targets=counts.sum(1))


class MultiClassCounts(Metric):
    """Counts on the device, with torchmetrics' states and their exchange between ranks. torchmetrics' multi-class
    metrics synchronise with the device in every update (`unique`, `bincount`, boolean masks)."""

    full_state_update = False
    confusion: Tensor
    top5: Tensor
    bins: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name, shape in (("confusion", (classes, classes)), ("top5", ()), ("bins", (BINS, 3))):
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        # Shapes must not depend on values: a boolean mask would wait for the device. So fillers pass through with
        # weight 0.
        classes, counted = probabilities.shape[1], keep.long()
        targets = targets.where(keep, 0)
        confidence, predicted = probabilities.max(1)
        cells = targets * classes + predicted
        self.confusion = self.confusion.flatten().index_add(0, cells, counted).view(classes, classes)
        self.top5 = self.top5 + ((_rank(probabilities, targets) < 5) & keep).sum()
        bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        correct, confidence = (predicted == targets).long(), (confidence * UNIT).round().long()
        images = torch.stack([torch.ones_like(predicted), correct, confidence], 1)
        self.bins = self.bins.index_add(0, bins, images * counted[:, None])

    def compute(self) -> MultiClassResults:
        return MultiClassResults(self.confusion.cpu(), self.top5.cpu(), self.bins.cpu())


def _rank(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Counts the classes that rank before the true one, `[N]`: more probable ones, and equally probable ones with a
    lower index."""
    of_target = probabilities.gather(1, targets[:, None])
    earlier = torch.arange(probabilities.shape[1], device=targets.device) < targets[:, None]
    return ((probabilities > of_target) | ((probabilities == of_target) & earlier)).sum(1)
