"""A network as it is trained, saved and exported: normalise -> trunk -> neck -> head."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, overload

import torch
from torch import Tensor, nn

from resnet_tl.models.fold import fold
from resnet_tl.models.heads.base import Head
from resnet_tl.models.pyramid import Neck
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Features, Level, Preprocessing


class Trunk(Protocol):
    """What a network asks of its trunk, a `ResNet` or one of your own (an `nn.Module`).

    One that has `level_after` too, and whose `forward` takes `levels` and `after`, as a `ResNet`'s does, can be cut
    behind any stage; others run whole.
    """

    in_channels: int
    feature_info: list[Level]
    preprocessing: Preprocessing

    def stages(self) -> dict[str, list[nn.Module]]:
        """Input to output, every parameter in exactly one."""

    def __call__(self, images: Tensor, **part: Any) -> dict[str, Tensor]:
        """Normalised images `[N, C, H, W]` -> maps by the names in `feature_info`."""


HeadFactory: TypeAlias = Callable[[list[Level], list[str]], Head]
NeckFactory: TypeAlias = Callable[[list[Level]], Neck]

FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}


@dataclass(frozen=True)
class Backbone:
    """The trunk of a recipe.

    Args:
        name: a variant of `resnet_tl.models.variants.VARIANTS`, or the import path of a trunk of your own.
        weights: a file, `builtin/...`, `timm/...`, `torchvision/...` or a URL; None starts from random weights.
        sha256: of the file behind a URL.
        keep_classifier: keep the weights' own classifier though the class names could not be compared.
        output_stride: 32, or 16 or 8 by dilation.
        norm: `frozen` uses fixed statistics everywhere, `group` needs no batch.
        drop_path: chance of dropping the deepest block in training (arXiv:1603.09382).
        zero_init_last: start each residual branch at zero (arXiv:1706.02677, section 5.1).
        checkpoint_segments: recompute activations in this many pieces a stage, to save memory; 0 keeps them all.
    """

    name: str = "resnet50"
    weights: str | None = None
    sha256: str | None = None
    keep_classifier: bool = False
    in_channels: int = 3
    output_stride: Literal[8, 16, 32] = 32
    norm: Literal["batch", "frozen", "group"] = "batch"
    drop_path: float = 0.0
    zero_init_last: bool = True
    checkpoint_segments: int = 0


class Network(nn.Module):
    """Bytes in, the head's outputs out. `mean` and `std` are buffers: what is exported is what was trained.

    Args:
        trunk: publishes `feature_info`, `stages()` and `preprocessing`, and returns named maps.
        neck: None, or maps -> maps with a `feature_info` of its own.
        head: see `resnet_tl.models.heads.base.Head`.
    """

    trunk: Trunk
    head: Head
    mean: Tensor
    std: Tensor

    def __init__(self, trunk: Trunk, neck: nn.Module | None, head: Head) -> None:
        super().__init__()
        self.trunk, self.neck, self.head = trunk, neck, head
        self.prefix: Callable[[Tensor], Features] | None = None
        """Runs the first stages in their place, while training holds them frozen; `resnet_tl.tuning.prefix` sets it."""
        reads = getattr(head if neck is None else neck, "reads", None)
        self._read: list[str] = [level.name for level in trunk.feature_info] if reads is None else list(reads)
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("std", torch.empty(0))
        self.set_preprocessing(trunk.preprocessing)

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Take over how the weights want their images; grey or many-channelled trunks take the mean over RGB."""
        channels = self.trunk.in_channels
        self.preprocessing = preprocessing
        self.mean = _per_channel(preprocessing.mean, channels).to(self.mean.device)
        self.std = _per_channel(preprocessing.std, channels).to(self.std.device)

    def forward(self, images: Tensor | Features, sizes: Tensor | None = None) -> Any:
        """The head's outputs.

        Args:
            images: `[N, C, H, W]`, uint8 or float 0...255, or uint16 0...65535; or what the first stages made of them.
            sizes: `[N, 2]` (h, w) before padding; None where nothing is padded.
        """
        return self.run(self.normalise(images, sizes), sizes)

    def run(self, images: Tensor | Features, sizes: Tensor | None = None) -> Any:
        """The head's outputs for images that are normalised already (mixup and cutmix act in between), or for what
        the first stages made of them."""
        if isinstance(images, Features):
            return self.run_from(images, sizes)
        if self.prefix is not None:
            return self.run_from(self.prefix(images), sizes)
        last = list(self.trunk.stages())[-1]
        size = (images.shape[-2], images.shape[-1])
        return self.run_from(Features(self.maps_after(last, images), size, last), sizes)

    def maps_after(self, stage: str, images: Tensor) -> dict[str, Tensor]:
        """What the stages up to `stage`, one of `cuts()`, make of normalised images: every map that is read later."""
        if stage == "neck":
            return self.neck(self.maps_after(self.cuts()[-2], images))  # type: ignore[misc]
        if not hasattr(self.trunk, "level_after"):
            return self.trunk(images)
        levels = list(self.trunk.level_after.values())
        depth = levels.index(self.trunk.level_after[stage])
        is_read = [level in self._read for level in levels]
        kept = [level for level, read in zip(levels[:depth], is_read, strict=False) if read]
        return self.trunk(images, levels=[*kept, *([levels[depth]] if any(is_read[depth:]) else [])])

    def run_from(self, features: Features, sizes: Tensor | None = None) -> Any:
        """The head's outputs for what the stages up to `features.after` made of images."""
        maps, after = features.maps, features.after
        if after != "neck" and hasattr(self.trunk, "level_after"):
            if missing := [level for level in self._read if level not in maps]:
                maps = {**maps, **self.trunk(maps[self.trunk.level_after[after]], levels=missing, after=after)}
            maps = {level: maps[level] for level in self._read}
        if self.neck is not None and after != "neck":
            maps = self.neck(maps)
        return self.head(maps, sizes, features.input_size)

    def condense(self, features: Features) -> Features:
        """Features worth keeping: what the head makes smaller without a loss, where it comes next."""
        if not self.condensed_after(features.after):
            return features
        return replace(features, maps=self.head.condense(features.maps))

    def condensed_after(self, stage: str) -> str:
        """What `condense` does to features behind `stage`: a name, "" for nothing."""
        return self.head.condensed if stage == self.cuts()[-1] else ""

    def cuts(self) -> list[str]:
        """The stages behind which the network can be cut in two, `maps_after` and `run_from`; input to output."""
        trunk = list(self.trunk.stages())
        neck = [] if self.neck is None else ["neck"]
        return [*(trunk if hasattr(self.trunk, "level_after") else trunk[-1:]), *neck]

    def folded_until(self, stage: str) -> Network:
        """A copy with its batch norms folded, good for `maps_after(stage, ...)` alone: later stages are left out."""
        stages = self.stages()
        later = list(stages)[list(stages).index(stage) + 1 :]
        return fold(self, exclude=[module for name in later for module in stages[name]])

    @overload
    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor: ...
    @overload
    def normalise(self, images: Tensor | Features, sizes: Tensor | None = None) -> Tensor | Features: ...
    def normalise(self, images: Tensor | Features, sizes: Tensor | None = None) -> Tensor | Features:
        """`[N, C, H, W]` float32 with the weights' mean and std; what lies outside `sizes` is 0. Features stay as they
        are: they came from normalised images."""
        if isinstance(images, Features):
            return images
        scale = FULL_SCALE.get(images.dtype, 255.0)
        mean, std = self.mean.view(1, -1, 1, 1), self.std.view(1, -1, 1, 1)
        normalised = (images.float() - mean * scale).div_(std * scale)
        return normalised if sizes is None else normalised * _inside(sizes, images.shape[-2:])

    def stages(self) -> dict[str, list[nn.Module]]:
        """Input to output, every parameter in exactly one."""
        neck = {} if self.neck is None else {"neck": [self.neck]}
        return {**self.trunk.stages(), **neck, "head": [self.head]}


def build(backbone: Backbone, neck: NeckFactory | None, head: HeadFactory, classes: Sequence[str]) -> Network:
    """The one builder: random weights, channels-last. Loading weights is `resnet_tl.weights`' part."""
    trunk = _trunk(backbone)
    levels = trunk.feature_info
    neck_module = None if neck is None else neck(levels)
    head_module = head(levels if neck_module is None else neck_module.feature_info, list(classes))
    return Network(trunk, neck_module, head_module).to(memory_format=torch.channels_last)


def public_keys(network: Network) -> dict[str, str]:
    """Own state-dict key -> torchvision's: `trunk.conv1.weight` -> `conv1.weight`, `head.fc.bias` -> `fc.bias`.

    What else a neck or head has keeps its own key; `mean` and `std` are no weights and are left out.
    """
    own = [key for key in network.state_dict() if key not in ("mean", "std")]
    return {key: key.removeprefix("trunk.").replace("head.fc.", "fc.", 1) for key in own}


def _trunk(backbone: Backbone) -> Trunk:
    options = {
        "in_channels": backbone.in_channels,
        "output_stride": backbone.output_stride,
        "norm": backbone.norm,
        "drop_path": backbone.drop_path,
        "zero_init_last": backbone.zero_init_last,
        "checkpoint_segments": backbone.checkpoint_segments,
    }
    if "." not in backbone.name:
        return resnet(backbone.name, **options)
    module, _, name = backbone.name.rpartition(".")
    return getattr(importlib.import_module(module), name)(in_channels=backbone.in_channels)


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    if len(values) == channels:
        return torch.tensor(values)
    return torch.full((channels,), sum(values) / len(values))


def _inside(sizes: Tensor, shape: Sequence[int]) -> Tensor:
    rows = torch.arange(shape[0], device=sizes.device) < sizes[:, :1]
    columns = torch.arange(shape[1], device=sizes.device) < sizes[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]
