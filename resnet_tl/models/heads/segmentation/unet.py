"""U-Net's decoder (arXiv:1505.04597) on a trunk's levels, with padding and norms as is customary today."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import conv_norm_relu, enlarge
from resnet_tl.models.norms import PooledBatchNorm
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
            nn.Sequential(
                *(JoiningConv(below, skip, out, factor), PooledBatchNorm(out), nn.ReLU(inplace=True)),
                *conv_norm_relu(out, out, 3),
            )
            for below, skip, out, factor in zip(inputs, joined, channels, self.factors, strict=True)
        )
        self.channels, self.stride = channels[-1], stride

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Maps `{level: [N, C, H, W]}` -> `[N, channels[-1], H / stride, W / stride]`, rounded up, with H and W of the
        images."""
        x = maps[self.deepest]
        # The last step, from the shallowest level to full size, has no level to join.
        for step, name in itertools.zip_longest(self.steps, self.skips):
            join, *layers = cast("nn.Sequential", step)
            x = join(x, None if name is None else maps[name])
            for layer in layers:
                x = layer(x)
        return x


class JoiningConv(nn.Conv2d):
    """The 3x3 convolution of a map enlarged by repetition and joined with a shallower one.

    Twice as large, four pixels have one value, and the nine weights of a kernel meet only four values. A transposed
    convolution with sums of weights multiplies each once: 4/9 of the multiplications, and no enlarged map.
    """

    folds: ClassVar = True

    def __init__(self, below: int, skip: int, outputs: int, factor: int) -> None:
        super().__init__(below + skip, outputs, 3, padding=1, bias=False)
        self.below, self.factor = below, factor

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """`[N, below, h, w]` and `[N, skip, H, W]` to `[N, outputs, H, W]`; H and W are `factor` times h and w, or up
        to `factor - 1` less. Without `skip` they are `factor` times h and w."""
        height, width = (side * self.factor for side in x.shape[-2:])
        size = (height, width) if skip is None else (skip.shape[-2], skip.shape[-1])
        if self.factor == 2 and size == (height, width) and _is_faster(x):
            return self._without_enlarging(x, skip)
        enlarged = enlarge(x, self.factor, size, "nearest")
        return super().forward(enlarged if skip is None else torch.cat([enlarged, skip], dim=1))

    def _without_enlarging(self, x: Tensor, skip: Tensor | None) -> Tensor:
        kernel = self.weight[:, : self.below].transpose(0, 1)
        for side in (2, 3):
            first, middle, last = kernel.split(1, dim=side)
            kernel = torch.cat([last, middle + last, first + middle, first], dim=side)
        if skip is None:
            return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)
        joined = F.conv2d(skip, self.weight[:, self.below :], self.bias, padding=1)
        return joined + F.conv_transpose2d(x, kernel, stride=2, padding=1)


def _is_faster(x: Tensor) -> bool:
    """Whether fewer multiplications are less time: measured on CPUs. Exported and compiled graphs have one form."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
