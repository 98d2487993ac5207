"""Regression: an image has one or several numbers, such as an age and a weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from resnet_tl.models.heads.base import at_least_fp32
from resnet_tl.models.heads.pooled import PooledHead, Pooling
from resnet_tl.ranges import FractionBelow1, checked
from resnet_tl.structures.records import Level


@checked("head")
class RegressionHead(PooledHead):
    """Pools the deepest level, applies dropout and one linear layer: T numbers of an image.

    The layer predicts in standard deviations from the mean of the training images, so that numbers of any unit train
    alike; predictions are in the numbers' own units.

    Args:
        levels: the last one is read.
        classes: names of the T numbers.
        pool: how `[N, C, H, W]` becomes `[N, C]`: mean, maximum, the mean of both, or GeM (learnable, see `GeM`).
        dropout: share of pooled channels zeroed in training.
        loss: of errors in standard deviations: `mse`, their squares; `huber`, half their squares up to 1 and linear
            above, so that outliers count less (Huber 1964); `quantiles`, twice the pinball loss (Koenker and Bassett
            1978) of the median, which makes it the size of the error, and of both ends of an interval.
        coverage: the share of images whose number lies in the interval that is predicted for it. `quantiles` learns its
            ends, and its width follows the image; those of the other losses have one width, from the validation images.

    Outputs are `[N, T, Q]`, with Q = 3 quantiles or Q = 1; predictions are the same in the numbers' units, ascending.
    Buffers: `mean` and `sd`, `[T]`, of the training images' numbers.
    """

    mean: Tensor
    sd: Tensor
    quantiles: Tensor

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        pool: Pooling = "avg",
        dropout: FractionBelow1 = 0.0,
        loss: Literal["mse", "huber", "quantiles"] = "huber",
        coverage: Annotated[float, Ge(0.5), Le(0.99)] = 0.9,
    ) -> None:
        super().__init__(levels, pool, dropout)
        self.kind, self.coverage = loss, coverage
        missed = (1 - coverage) / 2
        quantiles = [missed, 0.5, 1 - missed] if loss == "quantiles" else [0.5]
        self.register_buffer("quantiles", torch.tensor(quantiles), persistent=False)
        self.register_buffer("mean", torch.zeros(len(classes)))
        self.register_buffer("sd", torch.ones(len(classes)))
        # Not `fc`: that is the name of classifiers, which weights are searched for.
        self.linear = nn.Linear(levels[-1].channels, len(classes) * len(quantiles))
        nn.init.normal_(self.linear.weight, std=0.01)  # starts at the mean of the training images, as a guess would
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        """Returns `[N, T, Q]` from maps `{level: [N, C, H, W]}`. Images have one size, so `sizes` is not used."""
        return self.linear(self.dropout(self.features(maps))).unflatten(1, (len(self.mean), len(self.quantiles)))

    def loss(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns the mean over images and numbers, of the sum over quantiles; 0 without images. `targets` `[N, T]` in
        their units."""
        predicted = at_least_fp32(outputs)
        errors = ((targets - self.mean) / self.sd).to(predicted.dtype)[..., None] - predicted
        if self.kind == "mse":
            terms = errors.square()
        elif self.kind == "huber":
            size = errors.abs()
            terms = torch.where(size < 1, errors.square() / 2, size - 0.5)
        else:
            terms = 2 * torch.maximum(self.quantiles * errors, (self.quantiles - 1) * errors)
        return {"loss": terms.sum() / max(targets.numel(), 1)}

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns `[N, T, Q]` in the numbers' units, fp32 (fp64 for fp64). Quantiles that cross are sorted, which never
        makes them worse (arXiv:0704.3649)."""
        values = at_least_fp32(outputs) * self.sd[:, None] + self.mean[:, None]
        return values if values.shape[-1] == 1 else values.sort(-1).values

    def set_scale(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        """Sets the mean and standard deviation `[T]` of the training images' numbers."""
        self.mean.copy_(torch.as_tensor(mean))
        self.sd.copy_(torch.as_tensor(sd))
