"""One true class an image: everything is a quotient of counts that add up over batches and processes."""

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
"""Confidences are summed as integers of 1 / UNIT: the sum is the same in any order, on any device and rank."""


class MultiClassResults(NamedTuple):
    """Counts of images. confusion `[K, K]`: (true, said); top5 `[]`; bins `[BINS, 3]`: images, right ones,
    confidence in 1 / UNIT."""

    confusion: Tensor
    top5: Tensor
    bins: Tensor

    def scores(self) -> dict[str, float]:
        images = int(self.confusion.sum())
        scores = {"acc": int(self.confusion.trace()) / images}
        if len(self.confusion) > 5:
            scores["top5"] = int(self.top5) / images
        _, right, confidence = self.bins.double().T
        error = (right - confidence / UNIT).abs().sum() / images
        return scores | {"f1": self._ratios().macro_f1(), "ece": float(error)}

    def per_class(self, classes: list[str]) -> list[dict[str, Any]]:
        return rows(classes, images=self.confusion.sum(1).numpy(), **self._ratios()._asdict())

    def interval(self) -> tuple[float, float]:
        return accuracy_interval(int(self.confusion.trace()), int(self.confusion.sum()))

    def _ratios(self) -> Ratios:
        counts = self.confusion.numpy()
        return Ratios.of(right=np.diag(counts), said=counts.sum(0), true=counts.sum(1))


class MultiClassCounts(Metric):
    """Counts on the device. torchmetrics' own multi-class metrics wait for the device in each update (`unique`,
    `bincount`, boolean masks); its states and their exchange between processes are what is used here."""

    full_state_update = False
    confusion: Tensor
    top5: Tensor
    bins: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name, shape in (("confusion", (classes, classes)), ("top5", ()), ("bins", (BINS, 3))):
            self.add_state(name, torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        classes, counted = probabilities.shape[1], keep.long()
        targets = targets.where(keep, 0)
        confidence, said = probabilities.max(1)
        cells = targets * classes + said
        self.confusion = self.confusion.flatten().index_add(0, cells, counted).view(classes, classes)
        self.top5 = self.top5 + ((_rank(probabilities, targets) < 5) & keep).sum()
        bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        seen = torch.stack([torch.ones_like(said), (said == targets).long(), (confidence * UNIT).round().long()], 1)
        self.bins = self.bins.index_add(0, bins, seen * counted[:, None])

    def compute(self) -> MultiClassResults:
        return MultiClassResults(self.confusion.cpu(), self.top5.cpu(), self.bins.cpu())


def _rank(probabilities: Tensor, targets: Tensor) -> Tensor:
    """How many classes come before the true one, `[N]`: the more probable ones, and equal ones with a lower index."""
    true = probabilities.gather(1, targets[:, None])
    earlier = torch.arange(probabilities.shape[1], device=targets.device) < targets[:, None]
    return ((probabilities > true) | ((probabilities == true) & earlier)).sum(1)
