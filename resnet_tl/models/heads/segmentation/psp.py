"""PSPNet's pyramid pooling (arXiv:1612.01105): joins the deepest level with its means over 1, 4, 9 and 36 parts."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, MaxLen, MinLen
from torch import Tensor, nn

from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import OnLevel, PooledBranch, conv_norm_relu
from resnet_tl.ranges import Channels, FractionBelow1, checked
from resnet_tl.structures.records import Level


@checked("head")
class PSPHead(SegmentationHead):
    """Pyramid pooling on the deepest level. The paper uses `backbone.output_stride: 8` and `auxiliary: 0.4`.

    Args:
        levels, classes: see `SegmentationHead`.
        bins: parts per side of each mean.
        channels: after the pooling.
        dropout: share of channels zeroed in training.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        bins: Annotated[tuple[Annotated[int, Ge(1), Le(64)], ...], MinLen(1), MaxLen(16)] = (1, 2, 3, 6),
        channels: Channels = 512,
        dropout: FractionBelow1 = 0.1,
        **options: Any,
    ) -> None:
        deepest = levels[-1]
        each = max(deepest.channels // len(bins), 1)
        pooling = PyramidPooling(deepest.channels, each, bins)
        layers = conv_norm_relu(deepest.channels + each * len(bins), channels, 3)
        super().__init__(levels, classes, OnLevel(deepest, channels, pooling, *layers, nn.Dropout(dropout)), **options)


class PyramidPooling(nn.Module):
    """Joins a map with its means over `bins` x `bins` parts."""

    def __init__(self, inputs: int, outputs: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(PooledBranch(inputs, outputs, each) for each in bins)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inputs, H, W]` to `[N, inputs + len(bins) * outputs, H, W]`."""
        return torch.cat([x, *[branch(x) for branch in self.branches]], dim=1)
