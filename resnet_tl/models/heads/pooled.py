"""What heads of the whole image share: the deepest level, pooled over its pixels."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from resnet_tl.models.heads.base import Head, at_least_fp32
from resnet_tl.structures.records import Level

Pooling: TypeAlias = Literal["avg", "max", "avgmax", "gem"]


class PooledHead(Head):
    """Base of heads that pool the deepest level and apply dropout before what is their own.

    Args:
        levels: the last one is read.
        pool: how `[N, C, H, W]` becomes `[N, C]`: mean, maximum, the mean of both, or GeM (learnable, see `GeM`).
        dropout: share of pooled channels zeroed in training.
    """

    def __init__(self, levels: list[Level], pool: Pooling, dropout: float) -> None:
        super().__init__()
        self.level = levels[-1].name
        self.reads = (self.level,)
        self.pool = POOLINGS[pool]()
        self.condensed = "" if pool == "gem" else pool
        self.dropout = nn.Dropout(dropout)

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """Returns the pooled features before dropout, `[N, C]`."""
        features = maps[self.level]
        if features.shape[2:] == (1, 1) and self.condensed and not torch.compiler.is_compiling():
            return features.flatten(1)  # each pooling of one cell is the cell, at many times the cost
        return self.pool(features)

    def condense(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the pooled level `[N, C, 1, 1]`, which pools to itself. GeM learns how to pool and needs the map."""
        if not self.condensed:
            return maps
        return {self.level: self.pool(maps[self.level])[:, :, None, None]}


class GeM(nn.Module):
    """Generalised mean, `mean(x^p)^(1/p)` over H and W with a learnable p (arXiv:1711.02512, section 3.2).

    p = 1 is the average, p → ∞ the maximum. Values below `floor` count as `floor`.
    """

    floor = 1e-6

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C]`."""
        # In logarithms, relative to the largest, and in fp32: x^p would overflow for a large p.
        logs = self.p * at_least_fp32(x).clamp(min=self.floor).log().flatten(2)
        largest = logs.amax(2, keepdim=True)
        return (((logs - largest).exp().mean(2).log() + largest[..., 0]) / self.p).exp().to(x.dtype)


class Average(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C]`."""
        return x.mean((2, 3))


class Maximum(nn.Module):
    """`amax` shares the gradient among equal maxima, and is deterministic on every device."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C]`."""
        return x.amax((2, 3))


class AverageMaximum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C]`."""
        return (x.mean((2, 3)) + x.amax((2, 3))) / 2


POOLINGS: dict[str, type[nn.Module]] = {"avg": Average, "max": Maximum, "avgmax": AverageMaximum, "gem": GeM}
