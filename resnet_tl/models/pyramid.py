"""Necks: maps of one width from a trunk's, deep knowledge brought to shallow levels.

FPN: Lin et al., Feature Pyramid Networks for Object Detection (arXiv:1612.03144), also in the forms of RetinaNet and
FCOS with levels beyond the trunk's. PAN: its path back down (Liu et al., arXiv:1803.01534, section 3.1).
A trunk's level c4 is the pyramid's p4. Maps may have any size: ceil(H / stride) cells, as a trunk makes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.norms import norm_of
from resnet_tl.structures.records import Level

Extra: TypeAlias = Literal["pool", "conv", "conv_c5"]
NeckNorm: TypeAlias = Literal["batch", "frozen", "group"]
ORIGINAL = ("p2", "p3", "p4", "p5")


class Neck(nn.Module, ABC):
    """Built as `Neck(levels, **options)` over a trunk's levels; publishes its own in `feature_info`."""

    feature_info: list[Level]

    @abstractmethod
    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps by the trunk's names -> maps by the names in `feature_info`."""


class FPN(Neck):
    """A top-down path over the trunk's maps: `{c2...c5}` -> the `outputs` among `{p2...p5, p6, p7, ...}`.

    Args:
        levels: of the trunk, shallow to deep; the path starts at the last. Usable alone: `FPN(trunk.feature_info)`.
        channels: of every output.
        outputs: any subset; a level that nobody reads is not built.
        extra: how levels beyond the trunk's are made, each half the size of the one before: by leaving out every second
            pixel (Faster R-CNN), or by a strided convolution of the last output or of the trunk's last map (RetinaNet,
            which has either form).
        norm: behind each convolution of the path; None as published.
        smooth: whether a 3x3 convolution follows each sum, as published; a head that begins with one can do without.

    `forward` takes the trunk's maps by name, more than it needs if need be, and returns the outputs, shallow to deep.
    `reads` names those that it needs.
    """

    def __init__(
        self,
        levels: list[Level],
        *,
        channels: int = 256,
        outputs: Sequence[str] = ORIGINAL,
        extra: Extra = "conv",
        norm: NeckNorm | None = None,
        smooth: bool = True,
    ) -> None:
        super().__init__()
        plan = Plan(levels, channels, outputs)
        self.top_down = TopDown(plan, _needed(plan, extra), channels, norm, smooth)
        self.beyond = Beyond(plan, channels, extra)
        self.feature_info = plan.feature_info
        self.reads = _reads(plan, extra)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        pyramid = self.beyond(self.top_down(maps), maps)
        return {level.name: pyramid[level.name] for level in self.feature_info}


class PAN(Neck):
    """An FPN and a path back down: each level is joined by the one above it, halved by a strided convolution.

    Args as of `FPN`; `forward` likewise.
    """

    def __init__(
        self,
        levels: list[Level],
        *,
        channels: int = 256,
        outputs: Sequence[str] = ORIGINAL,
        extra: Extra = "conv",
        norm: NeckNorm | None = None,
    ) -> None:
        super().__init__()
        plan = Plan(levels, channels, outputs)
        deepest = max((plan.inner.index(name) for name in _needed(plan, extra)), default=-1)
        path = plan.inner[: deepest + 1]
        self.top_down = TopDown(plan, path, channels, norm)
        self.bottom_up = BottomUp(path, channels, norm)
        self.beyond = Beyond(plan, channels, extra)
        self.feature_info = plan.feature_info
        self.reads = _reads(plan, extra)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        pyramid = self.beyond(self.bottom_up(self.top_down(maps)), maps)
        return {level.name: pyramid[level.name] for level in self.feature_info}


class Plan:
    """Which levels a neck reads, makes and gives.

    Attributes:
        read: the trunk's levels from the shallowest that an output needs to the deepest.
        inner: the pyramid's levels over `read`, by name; `beyond`: those behind them, down to the deepest output.
        feature_info: the outputs.
    """

    def __init__(self, levels: list[Level], channels: int, outputs: Sequence[str]) -> None:
        over = {_name(level): level for level in levels}
        last = levels[-1]
        depth = int(last.name[1:])
        strides = {name: level.stride for name, level in over.items()}
        strides |= {f"p{depth + step}": last.stride << step for step in range(1, 5)}
        for name in outputs:
            if name not in strides:
                raise RecipeError(f"neck.outputs names {name!r}, but over this trunk there are {' '.join(strides)}")
        if not outputs:
            raise RecipeError(f"neck.outputs is empty; name at least one of {' '.join(strides)}")
        order = list(strides)
        wanted = sorted(set(outputs), key=order.index)
        first = min(order.index(wanted[0]), len(levels) - 1)
        self.read = levels[first:]
        self.inner = order[first : len(levels)]
        self.beyond = order[len(levels) : order.index(wanted[-1]) + 1]
        self.feature_info = [Level(name, channels, strides[name]) for name in wanted]
        self.wanted = wanted


class TopDown(nn.Module):
    """`{c}` -> those of `{p}` that are `made`: each map narrowed by a 1x1 convolution and added to the next deeper one,
    which is doubled by repetition; a 3x3 convolution smooths what comes out."""

    def __init__(
        self, plan: Plan, made: Sequence[str], channels: int, norm: NeckNorm | None, smooth: bool = True
    ) -> None:
        super().__init__()
        read = plan.read if made else []
        self.lateral = nn.ModuleDict({level.name: _conv(level.channels, channels, 1, norm) for level in read})
        out = {name: _conv(channels, channels, 3, norm) if smooth else nn.Identity() for name in plan.inner}
        self.smooth = nn.ModuleDict({name: layer for name, layer in out.items() if name in made})

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        pyramid: dict[str, Tensor] = {}
        deeper: Tensor | None = None
        for level in reversed(list(self.lateral)):
            x = self.lateral[level](maps[level])
            if deeper is not None:
                x = x + F.interpolate(deeper, size=x.shape[-2:], mode="nearest")
            deeper, name = x, f"p{level[1:]}"
            if name in self.smooth:
                pyramid[name] = self.smooth[name](x)
        return pyramid


class BottomUp(nn.Module):
    """The way back down `path`, shallow to deep."""

    def __init__(self, path: Sequence[str], channels: int, norm: NeckNorm | None) -> None:
        super().__init__()
        self.halve = nn.ModuleDict({name: _conv(channels, channels, 3, norm, stride=2) for name in path[1:]})
        self.smooth = nn.ModuleDict({name: _conv(channels, channels, 3, norm) for name in path[1:]})

    def forward(self, pyramid: dict[str, Tensor]) -> dict[str, Tensor]:
        joined: dict[str, Tensor] = {}
        above: Tensor | None = None
        for name in reversed(pyramid):
            x = pyramid[name]
            if above is not None:
                x = F.relu(self.smooth[name](x + F.relu(self.halve[name](above))))
            joined[name] = above = x
        return joined


class Beyond(nn.Module):
    """The levels deeper than the trunk's, one after another."""

    def __init__(self, plan: Plan, channels: int, extra: Extra) -> None:
        super().__init__()
        self.names = plan.beyond
        self.source = plan.read[-1].name if extra == "conv_c5" else plan.inner[-1]
        first = plan.read[-1].channels if extra == "conv_c5" else channels
        widths = [first, *([channels] * len(self.names))]
        convs = {name: nn.Conv2d(width, channels, 3, 2, 1) for name, width in zip(self.names, widths, strict=False)}
        self.convs = nn.ModuleDict({} if extra == "pool" else convs)
        _initialise(self)

    def forward(self, pyramid: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.names:
            return pyramid
        pyramid, x = dict(pyramid), {**maps, **pyramid}[self.source]
        for name in self.names:
            if name not in self.convs:
                x = F.max_pool2d(x, 1, stride=2)
            else:
                x = self.convs[name](x if name == self.names[0] else F.relu(x))
            pyramid[name] = x
        return pyramid


def _needed(plan: Plan, extra: Extra) -> list[str]:
    """The pyramid's levels over the trunk's that must be made."""
    made = [name for name in plan.inner if name in plan.wanted]
    if plan.beyond and extra != "conv_c5" and plan.inner[-1] not in made:
        made.append(plan.inner[-1])
    return made


def _reads(plan: Plan, extra: Extra) -> list[str]:
    """The trunk's levels that are needed: nobody keeps the others."""
    return [level.name for level in (plan.read if _needed(plan, extra) else plan.read[-1:])]


def _name(level: Level) -> str:
    return f"p{level.name[1:]}"


def _conv(inputs: int, outputs: int, size: int, norm: NeckNorm | None, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=norm is None)
    layers = nn.Sequential(conv) if norm is None else nn.Sequential(conv, norm_of(norm)(outputs))
    _initialise(layers)
    return layers


def _initialise(module: nn.Module) -> None:
    """Uniform with the outputs' variance that of the inputs, as Detectron and torchvision do."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
