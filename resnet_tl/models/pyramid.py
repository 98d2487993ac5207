"""Necks: feature pyramids of one width, which carry deep features to shallow levels.

FPN: Lin et al., Feature Pyramid Networks for Object Detection (arXiv:1612.03144), with the extra levels of RetinaNet
and FCOS. PAN: adds a path back down (Liu et al., arXiv:1803.01534, section 3.1).
A trunk's level c4 becomes the pyramid's p4. Maps may have any size: ceil(H / stride) cells, as trunks produce them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.norms import norm_of
from resnet_tl.ranges import Channels, checked
from resnet_tl.structures.records import Level

Extra: TypeAlias = Literal["pool", "conv", "conv_c5"]
NeckNorm: TypeAlias = Literal["batch", "frozen", "group"]
ORIGINAL = ("p2", "p3", "p4", "p5")


class Neck(nn.Module, ABC):
    """Base of necks, built as `Neck(levels, **options)` on a trunk's levels. `feature_info` publishes the outputs."""

    feature_info: list[Level]

    @abstractmethod
    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps of the trunk `{name: [N, C, H, W]}` -> maps `{name: [N, channels, H, W]}` of `feature_info`."""


@checked("neck")
class FPN(Neck):
    """A top-down path over the trunk's maps: `{c2...c5}` -> the `outputs` among `{p2...p5, p6, p7, ...}`.

    Args:
        levels: of the trunk, shallow to deep; the path starts at the last. Works alone: `FPN(trunk.feature_info)`.
        channels: of every output.
        outputs: any subset; levels that are not read are not built.
        extra: how levels beyond the trunk's are computed, each half the size of the one before: by dropping every
            second pixel (Faster R-CNN), or by a strided convolution of the last output or of the trunk's last map
            (RetinaNet exists in both forms).
        norm: after each convolution of the path; None as published.
        smooth: follow each sum by a 3x3 convolution, as published; a head that begins with one can do without.

    `forward` ignores maps that it does not need, and returns the outputs from shallow to deep. `reads` names the maps
    that it needs.
    """

    def __init__(
        self,
        levels: list[Level],
        *,
        channels: Channels = 256,
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
        """Maps `{c: [N, C, H, W]}` -> maps `{p: [N, channels, H, W]}`."""
        pyramid = self.beyond(self.top_down(maps), maps)
        return {level.name: pyramid[level.name] for level in self.feature_info}


@checked("neck")
class PAN(Neck):
    """An FPN and a path back down: adds to each level the next shallower one, halved by a strided convolution.

    Args:
        levels: of the trunk, shallow to deep.
        channels: of every output.
        outputs: any subset; levels that are not read are not built.
        extra: how levels beyond the trunk's are computed: see `FPN`.
        norm: after each convolution of both paths.

    `forward` and `reads` as in `FPN`.
    """

    def __init__(
        self,
        levels: list[Level],
        *,
        channels: Channels = 256,
        outputs: Sequence[str] = ORIGINAL,
        extra: Extra = "conv",
        norm: NeckNorm | None = None,
    ) -> None:
        super().__init__()
        plan = Plan(levels, channels, outputs)
        # The path back down runs through all levels above the deepest that is needed, so the FPN must make them.
        deepest = max((plan.inner.index(name) for name in _needed(plan, extra)), default=-1)
        path = plan.inner[: deepest + 1]
        self.top_down = TopDown(plan, path, channels, norm)
        self.bottom_up = BottomUp(path, channels, norm)
        self.beyond = Beyond(plan, channels, extra)
        self.feature_info = plan.feature_info
        self.reads = _reads(plan, extra)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps `{c: [N, C, H, W]}` -> maps `{p: [N, channels, H, W]}`."""
        pyramid = self.beyond(self.bottom_up(self.top_down(maps)), maps)
        return {level.name: pyramid[level.name] for level in self.feature_info}


class Plan:
    """The levels that a neck reads, computes and outputs.

    Attributes:
        read: the trunk's levels, from the shallowest that an output needs to the deepest.
        inner: names of the pyramid's levels on `read`.
        beyond: names of the levels after these, up to the deepest output.
        feature_info: the outputs; `outputs`: their names.
    """

    def __init__(self, levels: list[Level], channels: int, outputs: Sequence[str]) -> None:
        for level in levels:
            if not re.fullmatch(r"c\d+", level.name):
                raise RecipeError(f"the trunk has a level {level.name!r}; necks need names like c4, which becomes p4")
        last = levels[-1]
        depth = int(last.name[1:])
        strides = {f"p{level.name[1:]}": level.stride for level in levels}
        strides |= {f"p{depth + step}": last.stride << step for step in range(1, 5)}
        for name in outputs:
            if name not in strides:
                raise RecipeError(f"neck.outputs names {name!r}, but this trunk allows {' '.join(strides)}")
        if not outputs:
            raise RecipeError(f"neck.outputs is empty; name at least one of {' '.join(strides)}")
        order = list(strides)
        self.outputs = sorted(set(outputs), key=order.index)
        first = min(order.index(self.outputs[0]), len(levels) - 1)
        self.read = levels[first:]
        self.inner = order[first : len(levels)]
        self.beyond = order[len(levels) : order.index(self.outputs[-1]) + 1]
        self.feature_info = [Level(name, channels, strides[name]) for name in self.outputs]


class TopDown(nn.Module):
    """Reduces each map by a 1x1 convolution and adds the next deeper one, doubled by repetition; a 3x3 convolution
    smooths each output. `outputs` names the levels to return."""

    def __init__(
        self, plan: Plan, outputs: Sequence[str], channels: int, norm: NeckNorm | None, smooth: bool = True
    ) -> None:
        super().__init__()
        read = plan.read if outputs else []
        self.lateral = nn.ModuleDict({level.name: _conv(level.channels, channels, 1, norm) for level in read})
        out = {name: _conv(channels, channels, 3, norm) if smooth else nn.Identity() for name in plan.inner}
        self.smooth = nn.ModuleDict({name: layer for name, layer in out.items() if name in outputs})

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps `{c: [N, C, H, W]}` -> maps `{p: [N, channels, H, W]}`, deep to shallow."""
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
    """The path back down: from the shallowest level of `path`, halve, add to the next deeper one, smooth."""

    def __init__(self, path: Sequence[str], channels: int, norm: NeckNorm | None) -> None:
        super().__init__()
        self.halve = nn.ModuleDict({name: _conv(channels, channels, 3, norm, stride=2) for name in path[1:]})
        self.smooth = nn.ModuleDict({name: _conv(channels, channels, 3, norm) for name in path[1:]})

    def forward(self, pyramid: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps `{p: [N, channels, H, W]}`, deep to shallow -> the same names, shallow to deep."""
        joined: dict[str, Tensor] = {}
        shallower: Tensor | None = None
        for name in reversed(pyramid):
            x = pyramid[name]
            if shallower is not None:
                x = F.relu(self.smooth[name](x + F.relu(self.halve[name](shallower))))
            joined[name] = shallower = x
        return joined


class Beyond(nn.Module):
    """The levels deeper than the trunk's, each computed from the one before."""

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
        """Adds maps `[N, channels, H, W]` to `pyramid`; `maps` are the trunk's."""
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
    """Names the levels that `TopDown` must return: outputs, and the last one if extra levels start from it."""
    needed = [name for name in plan.inner if name in plan.outputs]
    if plan.beyond and extra != "conv_c5" and plan.inner[-1] not in needed:
        needed.append(plan.inner[-1])
    return needed


def _reads(plan: Plan, extra: Extra) -> list[str]:
    """Names the trunk's levels that the neck needs; the network does not keep the others."""
    return [level.name for level in (plan.read if _needed(plan, extra) else plan.read[-1:])]


def _conv(inputs: int, outputs: int, size: int, norm: NeckNorm | None, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=norm is None)
    layers = nn.Sequential(conv) if norm is None else nn.Sequential(conv, norm_of(norm)(outputs))
    _initialise(layers)
    return layers


def _initialise(module: nn.Module) -> None:
    """Uniform, preserving the variance from inputs to outputs, as in Detectron and torchvision."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
