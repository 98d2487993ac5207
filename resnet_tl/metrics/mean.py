"""A mean that NaN reaches."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class Mean(Metric):
    """The weighted mean of all values on all ranks; NaN if one of them is. torchmetrics' MeanMetric drops NaN, and
    ignores the weights with `nan_strategy="disable"` (torchmetrics 1.9)."""

    full_state_update = False
    mean_value: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean_value", "weight"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, value: Tensor | float, weight: Tensor | float = 1) -> None:
        """Adds a value `[]`; those of weight 0 must not be NaN."""
        self.mean_value = self.mean_value + value * weight
        self.weight = self.weight + weight

    def compute(self) -> Tensor:
        return self.mean_value / self.weight
