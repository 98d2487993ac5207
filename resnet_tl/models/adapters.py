"""Residual adapters: 1x1 convolutions next to the 3x3 ones of residual blocks, few parameters that can be trained alone
(Rebuffi et al., arXiv:1803.10082, section 3.2, "parallel"; the first ones, in series: arXiv:1705.08045).

They start at zero: a network with new adapters computes what it does without, bit for bit.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.models.blocks import Block


class Adapter(nn.Conv2d):
    """The parallel convolution; `tuning` finds it by `is_adapter`."""

    is_adapter: ClassVar[bool] = True


class AdaptedConv2d(nn.Conv2d):
    """A 3x3 convolution plus its `adapter`, a 1x1 convolution of the same input with the same stride and groups."""

    adapter: Adapter

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', ceil(H / stride), ceil(W / stride)]`."""
        return super().forward(x) + self.adapter(x)


def add_adapters(trunk: nn.Module) -> None:
    """Gives every 3x3 convolution of the residual blocks an adapter, in place; its own key stays."""
    blocks = [part for part in trunk.modules() if isinstance(part, Block)]
    for conv in [child for block in blocks for child in block.children()]:
        if type(conv) is nn.Conv2d and conv.kernel_size == (3, 3):
            with torch.random.fork_rng(devices=[]):  # as many draws as without
                adapter = Adapter(
                    conv.in_channels, conv.out_channels, 1, conv.stride[0], groups=conv.groups, bias=False
                )
            conv.__class__ = AdaptedConv2d
            conv.adapter = adapter.to(conv.weight)
            nn.init.zeros_(adapter.weight)


def merge_adapters(module: nn.Module) -> None:
    """Adds adapters to the centres of their convolutions, in place: the same function up to rounding, at no cost."""
    for conv in [part for part in module.modules() if isinstance(part, AdaptedConv2d)]:
        merged = conv.weight + F.pad(conv.adapter.weight, (1, 1, 1, 1))
        conv.weight = nn.Parameter(merged.detach(), requires_grad=conv.weight.requires_grad)
        del conv.adapter
        conv.__class__ = nn.Conv2d  # type: ignore[assignment]
