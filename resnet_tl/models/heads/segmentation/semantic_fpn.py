"""Semantic FPN (arXiv:1901.02446, section 3.1): sums a pyramid's levels, each enlarged to a quarter of the image."""

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
    """A branch for each level of a neck, `neck: {class_path: FPN}`.

    Args:
        levels, classes: see `SegmentationHead`; all levels are read.
        channels: of every branch.
        norm: after every convolution. `group`, as published, normalises over the whole image, so that predictions in a
            tile differ from those in the image; with `batch`, a pixel depends only on its surroundings.
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
    """Repeats 3x3 convolution, norm, ReLU and doubling on each level up to the shallowest level's size, and sums."""

    def __init__(self, levels: list[Level], channels: int, norm: NormKind, dropout: float) -> None:
        super().__init__()
        self.channels, self.stride = channels, levels[0].stride
        self.factors = {level.name: level.stride // self.stride for level in levels}
        self.branches = nn.ModuleDict({level.name: self._branch(level, channels, norm_of(norm)) for level in levels})
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Maps `{level: [N, C, H, W]}` -> `[N, channels, H, W]` at the size of the shallowest level."""
        shallowest = next(iter(self.factors))
        height, width = maps[shallowest].shape[-2:]
        enlarged = [self._enlarge(name, maps[name], (height, width)) for name in self.factors]
        return self.dropout(reduce(torch.add, enlarged))

    def _branch(self, level: Level, channels: int, norm: Norm) -> nn.ModuleList:
        doublings = int(math.log2(level.stride // self.stride))
        inputs = [level.channels, *[channels] * max(doublings - 1, 0)]
        return nn.ModuleList(nn.Sequential(*conv_norm_relu(each, channels, 3, norm=norm)) for each in inputs)

    def _enlarge(self, name: str, x: Tensor, size: tuple[int, int]) -> Tensor:
        factor, branch = self.factors[name], self.branches[name]
        assert isinstance(branch, nn.ModuleList)
        for layers in branch:
            x = layers(x)
            if factor > 1:
                factor //= 2
                x = enlarge(x, 2, (-(-size[0] // factor), -(-size[1] // factor)))
        return x
