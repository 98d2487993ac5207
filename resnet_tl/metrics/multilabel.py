"""Multi-label metrics: any number of true classes per image. Average precision ranks all probabilities, so they are
stored until the end of the pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_average_precision

from resnet_tl.metrics.bootstrap import mean_average_precision_interval
from resnet_tl.metrics.per_class import Ratios, Row, nanmean, rows
from resnet_tl.metrics.stored import joined


class MultiLabelResults(NamedTuple):
    """Probabilities `[N, K]` fp32 and multi-hot targets `[N, K]` bool of the N images. With any probability that is NaN
    or infinite all scores are NaN, so that such an epoch is never the best."""

    probabilities: Tensor
    targets: Tensor

    def scores(self, thresholds: Tensor | None, absent: Sequence[int] = ()) -> dict[str, float]:
        scores = {"map": nanmean(self._average_precision()), "f1": self._ratios(thresholds).macro_f1(absent)}
        return scores if bool(self.probabilities.isfinite().all()) else dict.fromkeys(scores, math.nan)

    def per_class(self, classes: list[str], thresholds: Tensor | None) -> list[Row]:
        return rows(
            classes,
            images=self.targets.sum(0).numpy(),
            threshold=self._thresholds(thresholds).numpy(),
            ap=self._average_precision(),
            **self._ratios(thresholds)._asdict(),
        )

    def interval(self) -> tuple[float, float]:
        return mean_average_precision_interval(self.probabilities.numpy(), self.targets.numpy())

    def _thresholds(self, thresholds: Tensor | None) -> Tensor:
        return torch.full(self.targets.shape[1:], 0.5) if thresholds is None else thresholds.cpu()

    def _ratios(self, thresholds: Tensor | None) -> Ratios:
        predicted, targets = self.probabilities >= self._thresholds(thresholds), self.targets
        return Ratios.of(*(marks.sum(0).numpy() for marks in (predicted & targets, predicted, targets)))

    def _average_precision(self) -> NDArray[np.float64]:
        """Returns the average precision `[K]`; NaN for a class without images (torchmetrics reports 0)."""
        by_class = zip(self.probabilities.T, self.targets.T, strict=True)
        return np.array(
            [
                float(binary_average_precision(scores, targets.long(), validate_args=False))
                if targets.any()
                else math.nan
                for scores, targets in by_class
            ]
        )


class MultiLabelStore(Metric):
    """Stores all predictions of the pass, N * K * 5 bytes on the device; `compute` drops the fillers."""

    full_state_update = False
    probabilities: list[Tensor]
    targets: list[Tensor]
    keep: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("probabilities", "targets", "keep"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, targets: Tensor, keep: Tensor) -> None:
        self.probabilities.append(probabilities)
        self.targets.append(targets.bool())
        self.keep.append(keep)

    def compute(self) -> MultiLabelResults:
        probabilities, targets, keep = (joined(part).cpu() for part in (self.probabilities, self.targets, self.keep))
        return MultiLabelResults(probabilities[keep], targets[keep])
