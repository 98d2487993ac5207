"""U-Net's decoder (arXiv:1505.04597) on a trunk's levels, with padding and norms as is customary today."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import conv_norm_relu, enlarge
from resnet_tl.ranges import Channels, PositiveInt, checked
from resnet_tl.structures.records import Level


@checked("head")
class UNetHead(SegmentationHead):
    """From the deepest level on: enlarge, join with the next shallower level, two 3x3 convolutions; up to full size.

    Args:
        levels, classes: see `SegmentationHead`.
        channels: of the steps, deepest first, one for each level; a `stride` above 1 needs fewer.
        stride: stride of the decoder's output in pixels; above 1, it skips the last steps, which are the expensive
            ones, and enlarges logits instead.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        channels: tuple[Channels, ...] = (256, 128, 64, 32, 16),
        stride: PositiveInt = 1,
        **options: Any,
    ) -> None:
        super().__init__(levels, classes, UNetDecoder(levels, channels, stride), kernel=3, **options)


class UNetDecoder(nn.Module):
    """The decoder of U-Net."""

    def __init__(self, levels: list[Level], channels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        read = [level for level in reversed(levels) if level.stride >= stride]
        if stride not in (1, *(level.stride for level in levels[:-1])):
            raise RecipeError(f"head.stride is {stride}, expected 1 or one of a level that is not the deepest")
        deep_first = [*read, Level("image", 0, 1)] if stride == 1 else read
        joined = [level.channels for level in deep_first[1:]]
        if len(channels) < len(joined):
            raise RecipeError(f"head.channels has {len(channels)} values, expected {len(joined)}, one per step")
        channels = channels[: len(joined)]
        self.deepest, *self.skips = self.reads = [level.name for level in read]
        self.factors = [deep.stride // above.stride for deep, above in itertools.pairwise(deep_first)]
        inputs = [deep_first[0].channels, *channels[:-1]]
        self.steps = nn.ModuleList(
            nn.Sequential(*conv_norm_relu(below + skip, out, 3), *conv_norm_relu(out, out, 3))
            for below, skip, out in zip(inputs, joined, channels, strict=True)
        )
        self.channels, self.stride = channels[-1], stride

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Maps `{level: [N, C, H, W]}` -> `[N, channels[-1], H / stride, W / stride]`, rounded up, with H and W of the
        images."""
        x = maps[self.deepest]
        for step, factor, name in zip(self.steps, self.factors, self.skips, strict=False):
            skip = maps[name]
            x = step(torch.cat([enlarge(x, factor, (skip.shape[-2], skip.shape[-1]), "nearest"), skip], dim=1))
        if len(self.steps) == len(self.skips):
            return x
        # The last step, from the shallowest level to full size, has no level to join.
        last = self.factors[-1]
        return self.steps[-1](enlarge(x, last, (x.shape[-2] * last, x.shape[-1] * last), "nearest"))
