"""ResNets without a classifier: images in, named maps out.

He et al., Deep Residual Learning for Image Recognition, 2015 (arXiv 1512.03385), in the form of torchvision and timm
(stride in the 3x3 convolution), with their parameter names, so that published weights load as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.models.adapters import add_adapters
from resnet_tl.models.blocks import BasicBlock, Block, Bottleneck, Place, conv
from resnet_tl.models.checkpointing import run_in_segments
from resnet_tl.models.fused_convolution import conv_norm_relu
from resnet_tl.models.norms import Norm, NormKind, norm_of
from resnet_tl.models.variants import VARIANTS, Variant
from resnet_tl.ranges import Channels, FractionBelow1, NonNegativeInt, checked
from resnet_tl.structures.records import Level, Preprocessing


def resnet(name: str, **options: Any) -> ResNet:
    """Builds the variant called `name`, with the `options` of `ResNet`.

    Raises:
        RecipeError: there is no such variant, or an option has an invalid value.
    """
    if name not in VARIANTS:
        raise RecipeError(f"there is no ResNet variant {name!r}{did_you_mean(name, VARIANTS)}")
    return ResNet(VARIANTS[name], **options)


def shapes_by_variant() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """Yields the name of each variant and the tensor shapes of its trunk by key."""
    # Builds at most two blocks of each stage, on the meta device: further blocks have the shapes of the second.
    for name, variant in VARIANTS.items():
        with torch.device("meta"):
            short = ResNet(replace(variant, depths=tuple(min(depth, 2) for depth in variant.depths)))
        shapes = {key: tuple(value.shape) for key, value in short.state_dict().items()}
        for number, depth in enumerate(variant.depths, start=1):
            second = f"layer{number}.1."
            alike = {key.removeprefix(second): shape for key, shape in shapes.items() if key.startswith(second)}
            for block in range(2, depth):
                shapes |= {f"layer{number}.{block}.{key}": shape for key, shape in alike.items()}
        yield name, shapes


@checked("backbone")
class ResNet(nn.Module):
    """A stem and stages of residual blocks.

    The output of a stage is a level: c1 after the stem (before max-pooling, 1/2 of the image's size), c2...c5 after
    layer1...layer4 (1/4...1/32). The CIFAR nets have c1...c4 (1, 1, 1/2, 1/4).

    Args:
        variant: a row of `VARIANTS`.
        in_channels: channels of the image.
        output_stride: 32, 16 or 8: stages beyond it dilate instead of halving the map.
        drop_path: probability of skipping the last block, for each image, in training; it grows linearly from 0 at the
            first block (Huang et al., arXiv 1603.09382).
        zero_init_last: start each block's last norm at zero, so that an untrained block passes its input on (Goyal et
            al., arXiv 1706.02677, 5.1).
        norm: "batch"; "frozen" (batch norm as a constant, with the same keys); "group" (Wu and He, arXiv 1803.08494).
        stride_first: use the paper's bottleneck, which halves the map in its first 1x1 convolution.
        checkpoint_segments: cut each stage into this many pieces of which the backward pass stores only the input and
            recomputes the rest; 0 stores everything. torch.compile decides on its own what to store.
        adapters: put a 1x1 convolution that starts at zero next to each 3x3 one, see `resnet_tl.models.adapters`.
        levels: what `forward` returns, one or several, by default all; stages beyond the deepest of them are not built.

    Attributes:
        feature_info: the levels that `forward` returns, with channels and stride.
        level_after: stage -> the level that it outputs, of all stages that were built.
        preprocessing: the preprocessing that the weights expect.
    """

    conv_norm_pairs: ClassVar = (("conv1", "bn1"),)

    def __init__(
        self,
        variant: Variant,
        *,
        in_channels: Channels = 3,
        output_stride: Literal[8, 16, 32] = 32,
        drop_path: FractionBelow1 = 0.0,
        zero_init_last: bool = True,
        norm: NormKind = "batch",
        stride_first: bool = False,
        checkpoint_segments: NonNegativeInt = 0,
        adapters: bool = False,
        levels: str | Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        places = _places(variant, output_stride, drop_path, stride_first)
        names = ["c1", *places]
        returned = _checked(names if levels is None else levels, names)

        self.in_channels = in_channels
        self.checkpoint_segments = checkpoint_segments
        self.preprocessing = Preprocessing(size=32, crop=1.0) if variant.small_images else Preprocessing()
        block = BasicBlock if variant.block == "basic" else Bottleneck
        make_norm = norm_of(norm)
        self.conv1 = _stem(variant, in_channels, make_norm)
        self.bn1 = make_norm(variant.stem[-1])
        self.maxpool = nn.Identity() if variant.small_images else nn.MaxPool2d(3, stride=2, padding=1)
        built = {"stem": Level("c1", variant.stem[-1], 1 if variant.small_images else 2)}
        for number, (level, stage) in enumerate(places.items(), start=1):
            if level <= max(returned):
                self.add_module(f"layer{number}", nn.Sequential(*[block(variant, place, make_norm) for place in stage]))
                built[f"layer{number}"] = Level(level, stage[-1].out_channels, stage[-1].map_stride)

        self.feature_info = [level for level in built.values() if level.name in returned]
        self.level_after = {stage: level.name for stage, level in built.items()}
        _initialise(self, zero_init_last and norm != "frozen")  # a frozen norm would stay at zero
        if adapters:
            add_adapters(self)
        self.to(memory_format=torch.channels_last)

    def forward(
        self, x: Tensor, levels: str | Sequence[str] | None = None, after: str | None = None
    ) -> dict[str, Tensor]:
        """Returns the maps by level, from the shallowest to the deepest, and computes nothing deeper.

        Args:
            x: normalised images `[N, in_channels, H, W]` of any size, or the output of the stage `after`.
            levels: fewer or other levels than the constructor's, among the stages that were built.
            after: continue after this stage ("stem", "layer1", ...); levels up to it are not returned.

        Returns:
            Maps `[N, C, ceil(H / stride), ceil(W / stride)]`, channels-last.
        """
        returned = [level.name for level in self.feature_info]
        if levels is not None:
            returned = _checked(levels, list(self.level_after.values()))
        stages = list(self.level_after)
        start = 0 if after is None else stages.index(after) + 1
        maps: dict[str, Tensor] = {}
        for stage in stages[start:]:
            level = self.level_after[stage]
            if level > max(returned):
                break
            x = self._run(stage, x)
            if level in returned:
                maps[level] = x
        return maps

    def stages(self) -> dict[str, list[nn.Module]]:
        """Lists the modules of each stage, input to output; every parameter is in exactly one."""
        deeper = {stage: [self.get_submodule(stage)] for stage in self.level_after if stage != "stem"}
        return {"stem": [self.conv1, self.bn1], **deeper}

    def blocks(self) -> dict[str, list[nn.Module]]:
        """Lists the residual blocks of each stage that has any, input to output."""
        return {stage: list(self.get_submodule(stage).children()) for stage in self.level_after if stage != "stem"}

    def _run(self, stage: str, x: Tensor) -> Tensor:
        if stage == "stem":
            return conv_norm_relu(self.conv1, self.bn1, x)
        if stage == "layer1":
            x = self.maxpool(x)
        return run_in_segments(getattr(self, stage), x, self.checkpoint_segments)


def _checked(levels: str | Sequence[str], offered: Sequence[str]) -> list[str]:
    if not levels:
        raise RecipeError(f"levels is empty; name at least one of {' '.join(offered)}")
    levels = [levels] if isinstance(levels, str) else list(levels)
    for level in levels:
        if level not in offered:
            raise RecipeError(f"there is no level {level!r} in this network; it has {' '.join(offered)}")
    return levels


def _places(variant: Variant, output_stride: int, drop_path: float, stride_first: bool) -> dict[str, list[Place]]:
    """Returns the places of all blocks, by the level that their stage outputs."""
    # A stage that may not halve its map doubles the dilation instead, from its second 3x3 convolution on: the first
    # still reads an undilated map. timm's `output_stride` and torchvision's `replace_stride_with_dilation` do the same.
    expansion = 4 if variant.block == "bottleneck" else 1
    channels, dilation, map_stride = variant.stem[-1], 1, (1 if variant.small_images else 4)
    total = sum(variant.depths)
    rates = (drop_path * index / (total - 1) for index in range(total))
    places: dict[str, list[Place]] = {}
    for number, (width, depth) in enumerate(zip(variant.widths, variant.depths, strict=True)):
        stride, first_dilation = (1 if number == 0 else 2), dilation
        if map_stride >= output_stride:
            stride, dilation = 1, dilation * stride
        map_stride *= stride
        stage = places[f"c{number + 2}"] = []
        for rate in itertools.islice(rates, depth):
            out = width * expansion
            stage.append(Place(channels, width, out, stride, stride_first, first_dilation, dilation, rate, map_stride))
            channels, stride, first_dilation = out, 1, dilation
    return places


def _stem(variant: Variant, in_channels: int, norm: Norm) -> nn.Module:
    """Builds the stem's convolutions. Its last norm is outside, as in timm's deep stems."""
    if variant.small_images:
        return conv(in_channels, variant.stem[0], 3)
    if len(variant.stem) == 1:
        return conv(in_channels, variant.stem[0], 7, stride=2)
    first, second, last = variant.stem
    return nn.Sequential(
        *(conv(in_channels, first, 3, stride=2), norm(first), nn.ReLU(inplace=True)),
        *(conv(first, second, 3), norm(second), nn.ReLU(inplace=True)),
        conv(second, last, 3),
    )


def _initialise(trunk: ResNet, zero_last: bool) -> None:
    """He et al., arXiv 1502.01852, scaled by the number of outputs as in torchvision; norms start at one."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_last and isinstance(module, Block):
            last_norm = module.conv_norm_pairs[-1][1]
            nn.init.zeros_(module.get_parameter(f"{last_norm}.weight"))
