"""U-Net's decoder (arXiv:1505.04597) over a trunk's levels, padded and with norms, as is customary today."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import conv_norm_relu, enlarge
from resnet_tl.records import Level


class UNetHead(SegmentationHead):
    """From the deepest level up: enlarge, join the next shallower level, two 3x3 convolutions; down to single pixels.

    Args:
        levels, classes: see `SegmentationHead`; all levels are read.
        channels: of the steps, the deepest first: one for each level.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        channels: tuple[int, ...] = (256, 128, 64, 32, 16),
        **options: Any,
    ) -> None:
        if len(channels) < len(levels):
            raise RecipeError(f"head.channels has {len(channels)} values, expected {len(levels)}, one a level")
        super().__init__(levels, classes, UNetDecoder(levels, channels[: len(levels)]), kernel=3, **options)


class UNetDecoder(nn.Module):
    def __init__(self, levels: list[Level], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.deepest, *skips = [level.name for level in reversed(levels)]
        self.skips = skips
        deep_first = [*reversed(levels), Level("picture", 0, 1)]
        self.factors = [deep.stride // above.stride for deep, above in itertools.pairwise(deep_first)]
        inputs = [deep_first[0].channels, *channels[:-1]]
        joined = [level.channels for level in deep_first[1:]]
        self.steps = nn.ModuleList(
            nn.Sequential(*conv_norm_relu(below + skip, out, 3), *conv_norm_relu(out, out, 3))
            for below, skip, out in zip(inputs, joined, channels, strict=True)
        )
        self.channels, self.stride = channels[-1], 1

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        x = maps[self.deepest]
        for step, factor, skip in zip(self.steps, self.factors, self.skips, strict=False):
            beside = maps[skip]
            x = step(torch.cat([enlarge(x, factor, (beside.shape[-2], beside.shape[-1]), "nearest"), beside], dim=1))
        last = self.factors[-1]
        return self.steps[-1](enlarge(x, last, (x.shape[-2] * last, x.shape[-1] * last), "nearest"))
