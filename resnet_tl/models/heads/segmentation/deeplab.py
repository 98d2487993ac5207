"""DeepLabV3 (arXiv:1706.05587) and DeepLabV3+ (arXiv:1802.02611): parallel convolutions of several dilations."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor, nn

from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import (
    OnLevel,
    PooledBranch,
    conv_norm_relu,
    enlarge,
    separable_norm_relu,
)
from resnet_tl.ranges import Channels, FractionBelow1, checked
from resnet_tl.structures.records import Level

Rates: TypeAlias = Annotated[tuple[Annotated[int, Ge(1), Le(256)], ...], MinLen(1)]
"""Dilations."""


@checked("head")
class DeepLabV3Head(SegmentationHead):
    """ASPP on the deepest level, a 3x3 convolution, a classifier.

    Args:
        levels, classes: see `SegmentationHead`; the deepest level has stride 8 or 16 (`backbone.output_stride`).
        rates: dilations of the 3x3 branches; None: (6, 12, 18) at stride 16, twice that at 8 (section 4.1).
        channels: of each branch and of the result.
        dropout: share of channels zeroed after ASPP in training.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        rates: Rates | None = None,
        channels: Channels = 256,
        dropout: FractionBelow1 = 0.5,
        **options: Any,
    ) -> None:
        deepest = levels[-1]
        aspp = ASPP(deepest.channels, channels, rates or _rates(deepest.stride), dropout)
        decoder = OnLevel(deepest, channels, aspp, *conv_norm_relu(channels, channels, 3))
        super().__init__(levels, classes, decoder, **options)


@checked("head")
class DeepLabV3PlusHead(SegmentationHead):
    """ASPP on the deepest level, enlarged and joined with a shallow one (stride 4), two convolutions, a classifier.

    Args:
        levels, classes, rates, channels, dropout: see `DeepLabV3Head`.
        shallow_channels: channels that the shallow level is reduced to.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        rates: Rates | None = None,
        channels: Channels = 256,
        shallow_channels: Channels = 48,
        dropout: FractionBelow1 = 0.1,
        **options: Any,
    ) -> None:
        aspp = ASPP(levels[-1].channels, channels, rates or _rates(levels[-1].stride), dropout, separable=True)
        super().__init__(levels, classes, PlusDecoder(levels, aspp, channels, shallow_channels), **options)


class PlusDecoder(nn.Module):
    """The decoder of DeepLabV3+."""

    def __init__(self, levels: list[Level], aspp: ASPP, channels: int, shallow_channels: int) -> None:
        super().__init__()
        shallow, deep = next(level for level in levels if level.stride >= 4), levels[-1]
        self.reads, self.factor = (shallow.name, deep.name), deep.stride // shallow.stride
        self.channels, self.stride = channels, shallow.stride
        self.aspp = aspp
        self.reduce = nn.Sequential(*conv_norm_relu(shallow.channels, shallow_channels, 1))
        joined = channels + shallow_channels
        self.join = nn.Sequential(*separable_norm_relu(joined, channels), *separable_norm_relu(channels, channels))

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Maps `{level: [N, C, H, W]}` -> `[N, channels, H, W]` at the size of the shallow level."""
        shallow, deep = (maps[name] for name in self.reads)
        deep = enlarge(self.aspp(deep), self.factor, (shallow.shape[-2], shallow.shape[-1]))
        return self.join(torch.cat([deep, self.reduce(shallow)], dim=1))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, 3x3 convolutions of several dilations, and the mean over the
    image, in parallel."""

    def __init__(
        self, inputs: int, channels: int, rates: tuple[int, ...], dropout: float, *, separable: bool = False
    ) -> None:
        super().__init__()
        branches: list[nn.Module] = [nn.Sequential(*conv_norm_relu(inputs, channels, 1))]
        for rate in rates:
            if separable:
                branches.append(nn.Sequential(*separable_norm_relu(inputs, channels, dilation=rate)))
            else:
                branches.append(nn.Sequential(*conv_norm_relu(inputs, channels, 3, dilation=rate)))
        self.convs = nn.ModuleList([*branches, PooledBranch(inputs, channels, bins=1)])
        joined = channels * len(self.convs)
        self.project = nn.Sequential(*conv_norm_relu(joined, channels, 1), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inputs, H, W]` to `[N, channels, H, W]`."""
        return self.project(torch.cat([branch(x) for branch in self.convs], dim=1))


def _rates(stride: int) -> tuple[int, ...]:
    """Returns dilations with the same reach in pixels at every stride: (6, 12, 18) cells at stride 16."""
    first = max(96 // stride, 1)
    return (first, 2 * first, 3 * first)
