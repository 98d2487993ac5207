"""Semantic FPN (arXiv:1901.02446, section 3.1): a pyramid's levels, each brought to a quarter of the size, summed."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.models.heads.segmentation.base import SegmentationHead
from resnet_tl.models.heads.segmentation.layers import conv_norm_relu, enlarge
from resnet_tl.models.norms import Norm, NormKind, norm_of
from resnet_tl.ranges import Channels, FractionBelow1, checked
from resnet_tl.structures.records import Level


@checked("head")
class SemanticFPNHead(SegmentationHead):
    """On the levels of a neck, `neck: {class_path: FPN}`.

    Args:
        levels, classes: see `SegmentationHead`; all levels are read.
        channels: of every branch.
        norm: behind every convolution. `group`, as published, sees the whole image, so that the same pixel in a tile
            is another; under `batch` it depends on its surroundings alone.
        dropout: share of whole channels of the sum zeroed in training.
        options: of `SegmentationHead`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        channels: Channels = 128,
        norm: NormKind = "group",
        dropout: FractionBelow1 = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(levels, classes, PyramidSum(levels, channels, norm, dropout), **options)


class PyramidSum(nn.Module):
    """Each level: 3x3 convolution, norm, ReLU, times two; as often as it takes to the shallowest level's size."""

    def __init__(self, levels: list[Level], channels: int, norm: NormKind, dropout: float) -> None:
        super().__init__()
        self.channels, self.stride = channels, levels[0].stride
        self.factors = {level.name: level.stride // self.stride for level in levels}
        self.branches = nn.ModuleDict({level.name: self._branch(level, channels, norm_of(norm)) for level in levels})
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        shallowest = next(iter(self.factors))
        height, width = maps[shallowest].shape[-2:]
        brought = [self._enlarged(name, maps[name], (height, width)) for name in self.factors]
        return self.dropout(reduce(torch.add, brought))

    def _branch(self, level: Level, channels: int, norm: Norm) -> nn.ModuleList:
        doublings = int(math.log2(level.stride // self.stride))
        inputs = [level.channels, *[channels] * max(doublings - 1, 0)]
        return nn.ModuleList(nn.Sequential(*conv_norm_relu(each, channels, 3, norm=norm)) for each in inputs)

    def _enlarged(self, name: str, x: Tensor, size: tuple[int, int]) -> Tensor:
        left = self.factors[name]
        for layers in self.branches[name]:  # type: ignore[attr-defined]
            x = layers(x)
            if left > 1:
                left //= 2
                x = enlarge(x, 2, (-(-size[0] // left), -(-size[1] // left)))
        return x
