"""StochNorm (Kou et al., "Stochastic Normalization", NeurIPS 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.errors import RecipeError
from resnet_tl.ranges import Fraction, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Start


class StochasticNorm(nn.BatchNorm2d):
    """Batch norm that in training normalises each channel by the batch, or by the running statistics.

    It has the parameters, buffers and keys of the batch norm that it was, and evaluates as that.
    """

    by_running: float
    """Probability of the running statistics, for each channel and batch."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H, W]`."""
        if not self.training or self.momentum is None:  # None while `tuning.recalibrate` measures batches
            return super().forward(x)
        assert self.running_mean is not None
        by_running = torch.rand(self.num_features, device=x.device) < self.by_running
        running = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return torch.where(by_running[:, None, None], running, super().forward(x))


@checked("regulariser")
class StochNorm(Regulariser):
    """Makes trained batch norms draw, for each channel and batch, whether to normalise by the batch or by the running
    statistics: the loaded ones take part in training, and a small batch overfits less.

    It adds no term. Norms that are frozen, or fixed by `tuning.norm: frozen`, stay as they are. The draws come from
    torch's generator, which a resumed run continues; the running statistics move as in batch norm.

    Args:
        by_running: probability of the running statistics; 0 is batch norm. The default is that of the authors' library
            (thuml/Transfer-Learning-Library), in which p = 0.5 is the probability of the batch's.
    """

    name = "stoch_norm"

    def __init__(self, by_running: Fraction = 0.5) -> None:
        self.by_running = by_running
        self.norms: list[nn.Module] = []

    def start(self, start: Start) -> None:
        self.norms = [
            part for part in start.module.modules() if type(part) is nn.BatchNorm2d and part.running_mean is not None
        ]
        if not self.norms:
            raise RecipeError("tuning.regularisers: StochNorm changes batch norms, but the network has none; omit it")
        for norm in self.norms:
            norm.__class__ = StochasticNorm
            norm.by_running = self.by_running  # type: ignore[assignment]

    def begin(self, module: Any, batches: Any) -> None:
        if not any(isinstance(part, StochasticNorm) for part in module.modules()):
            raise RecipeError(
                "tuning.regularisers: StochNorm changes batch norms, which trainer.sync_batchnorm replaces; omit one"
            )

    def finish(self) -> None:
        for norm in self.norms:
            norm.__class__ = nn.BatchNorm2d
            del norm.by_running
        self.norms = []
