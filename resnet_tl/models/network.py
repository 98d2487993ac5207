"""The network that is trained, saved and exported: normalise -> trunk -> neck -> head."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeGuard, overload

import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.imports import import_maker
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.base import Head
from resnet_tl.models.pyramid import Neck
from resnet_tl.models.resnet import resnet
from resnet_tl.ranges import Channels, FractionBelow1, NonNegativeInt, checked
from resnet_tl.structures.records import Features, Level, Preprocessing


class Trunk(Protocol):
    """The interface of a trunk: a `ResNet`, or a custom `nn.Module`.

    A trunk that is also a `DivisibleTrunk` can be cut after any stage; others run as a whole.
    """

    in_channels: int
    feature_info: list[Level]
    preprocessing: Preprocessing

    def stages(self) -> dict[str, list[nn.Module]]:
        """Lists the modules of each stage, input to output; every parameter is in exactly one."""

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Computes the maps `{name: [N, C', H / stride, W / stride]}` of `feature_info` from normalised images
        `[N, C, H, W]`."""


class DivisibleTrunk(Trunk, Protocol):
    """A trunk that can stop and start after any of its stages, as a `ResNet` can.

    level_after: stage -> the level that it outputs.
    """

    level_after: dict[str, str]

    def __call__(
        self, images: Tensor, levels: Sequence[str] | None = None, after: str | None = None
    ) -> dict[str, Tensor]:
        """Computes the maps of `levels`, from normalised images, or from the output of the stage `after`."""


HeadFactory: TypeAlias = Callable[[list[Level], list[str]], Head]
NeckFactory: TypeAlias = Callable[[list[Level]], Neck]

FULL_SCALE = {torch.uint8: 255.0, torch.uint16: 65535.0}
"""The value of white by dtype; 255 for all others."""


@checked("backbone")
@dataclass(frozen=True)
class Backbone:
    """The trunk of a recipe.

    Args:
        name: a variant in `resnet_tl.models.variants.VARIANTS`, or the import path of a custom trunk.
        weights: a file, a run folder or checkpoint, `builtin/...`, `timm/...`, `torchvision/...`, `hf://USER/NAME` or
            a URL; None starts from random weights.
        sha256: of the file at a URL, 64 hex digits.
        keep_classifier: keep the classifier of the weights even if the class names cannot be compared. `known`: keep of
            the last layers the rows of the classes that the weights know by name, whatever other classes there are; the
            rows of new classes of a classification head start from the classes' mean features (arXiv:1712.07136).
        in_channels: channels of the images.
        output_stride: 32, or 16 or 8 by dilation.
        norm: `frozen` uses fixed statistics everywhere, `group` does not depend on the batch.
        drop_path: probability of dropping the deepest block in training (arXiv:1603.09382).
        zero_init_last: start each residual branch at zero (arXiv:1706.02677, section 5.1).
        checkpoint_segments: recompute activations in this many pieces per stage, to save memory; 0 stores them all.
        adapters: put a 1x1 convolution that starts at zero next to each 3x3 one of the residual blocks, for phases that
            train `[adapters]` (arXiv:1803.10082); they are merged where the network predicts.
    """

    name: str = "resnet50"
    weights: str | None = None
    sha256: str | None = None
    keep_classifier: Literal["known"] | bool = False
    in_channels: Channels = 3
    output_stride: Literal[8, 16, 32] = 32
    norm: Literal["batch", "frozen", "group"] = "batch"
    drop_path: FractionBelow1 = 0.0
    zero_init_last: bool = True
    checkpoint_segments: NonNegativeInt = 0
    adapters: bool = False


class Network(nn.Module):
    """Maps bytes to the head's outputs. `mean` and `std` are buffers, so that the exported network is the trained one.

    Args:
        trunk: publishes `feature_info`, `stages()` and `preprocessing`, and returns named maps.
        neck: None, or a module from maps to maps with a `feature_info` of its own.
        head: see `resnet_tl.models.heads.base.Head`.
    """

    trunk: Trunk
    head: Head
    mean: Tensor
    std: Tensor
    channels_last = True
    """The layout of weights and maps: [N, H, W, C] in memory."""

    def __init__(self, trunk: Trunk, neck: nn.Module | None, head: Head) -> None:
        super().__init__()
        self.trunk, self.neck, self.head = trunk, neck, head
        self.prefix: Callable[[Tensor], Features] | None = None
        """Replaces the first stages while they are frozen in training; set by `resnet_tl.tuning.prefix`."""
        reads = getattr(head if neck is None else neck, "reads", None)
        self._read: list[str] = [level.name for level in trunk.feature_info] if reads is None else list(reads)
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("std", torch.empty(0))
        self.set_preprocessing(trunk.preprocessing)

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Adopts the preprocessing of weights; trunks for other than RGB images use the mean over the channels."""
        channels = self.trunk.in_channels
        self.preprocessing = preprocessing
        self.mean = _per_channel(preprocessing.mean, channels).to(self.mean.device)
        self.std = _per_channel(preprocessing.std, channels).to(self.std.device)

    def lay_out(self, *, channels_last: bool) -> None:
        """Lays weights and maps out channels-last, or channels-first."""
        self.channels_last = channels_last
        self.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    def forward(self, images: Tensor | Features, sizes: Tensor | None = None) -> Any:
        """Returns the head's outputs.

        Args:
            images: `[N, C, H, W]`, uint8 or float 0...255, or uint16 0...65535; or the first stages' features of them.
            sizes: `[N, 2]` (h, w) in pixels before padding; None if nothing is padded.
        """
        return self.run(self.normalise(images, sizes), sizes)

    def run(self, images: Tensor | Features, sizes: Tensor | None = None) -> Any:
        """Returns the head's outputs for normalised images `[N, C, H, W]` (mixup and cutmix act between `normalise` and
        `run`), or for the first stages' features of them."""
        features = self.features(self.run_prefix(images))
        return self.head(features.maps, sizes, features.input_size)

    def run_prefix(self, images: Tensor | Features) -> Tensor | Features:
        """Returns the features of the frozen prefix, where there is one, for normalised images `[N, C, H, W]`."""
        if self.prefix is None or isinstance(images, Features):
            return images
        return self.prefix(images)

    def features(self, images: Tensor | Features) -> Features:
        """Runs the stages before the head on normalised images `[N, C, H, W]`, or those of them that follow the
        stages of `images`."""
        last = self.cuts()[-1]
        if not isinstance(images, Features):
            return Features(self.maps_after(last, images), (images.shape[-2], images.shape[-1]), last)
        maps, after = images.maps, images.after
        if after != "neck" and is_divisible(self.trunk):
            if missing := [level for level in self._read if level not in maps]:
                maps = {**maps, **self.trunk(maps[self.trunk.level_after[after]], levels=missing, after=after)}
            maps = {level: maps[level] for level in self._read}
        if self.neck is not None and after != "neck":
            maps = self.neck(maps)
        return Features(maps, images.input_size, last)

    def maps_after(self, stage: str, images: Tensor) -> dict[str, Tensor]:
        """Runs the stages up to `stage`, one of `cuts()`, on normalised images `[N, C, H, W]`. Returns every map that
        later stages read."""
        if stage == "neck":
            assert self.neck is not None
            return self.neck(self.maps_after(self.cuts()[-2], images))
        if not is_divisible(self.trunk):
            return self.trunk(images)
        levels = list(self.trunk.level_after.values())
        depth = levels.index(self.trunk.level_after[stage])
        is_read = [level in self._read for level in levels]
        # Shallow levels that the neck or head reads, and the deepest: the rest of the trunk starts from it.
        shallow = [level for level, read in zip(levels[:depth], is_read, strict=False) if read]
        return self.trunk(images, levels=[*shallow, *([levels[depth]] if any(is_read[depth:]) else [])])

    def condense(self, features: Features) -> Features:
        """Shrinks features for caching, without loss, if the head comes next and can condense its input."""
        if not self.condensed_after(features.after):
            return features
        return replace(features, maps=self.head.condense(features.maps))

    def condensed_after(self, stage: str) -> str:
        """Names what `condense` does to features after `stage`; "" for nothing."""
        return self.head.condensed if stage == self.cuts()[-1] else ""

    def cuts(self) -> list[str]:
        """Lists the stages after which the network can be cut into `maps_after` and `features`, input to output."""
        trunk = list(self.trunk.stages())
        neck = [] if self.neck is None else ["neck"]
        return [*(trunk if is_divisible(self.trunk) else trunk[-1:]), *neck]

    def folded_until(self, stage: str) -> Network:
        """Returns a copy with folded batch norms and without later stages; it can only run `maps_after(stage, ...)`."""
        stages = self.stages()
        later = list(stages)[list(stages).index(stage) + 1 :]
        folded = fold(self, exclude=[module for name in later for module in stages[name]])
        folded.lay_out(channels_last=self.channels_last)
        return folded

    @overload
    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor: ...
    @overload
    def normalise(self, images: Tensor | Features, sizes: Tensor | None = None) -> Tensor | Features: ...
    def normalise(self, images: Tensor | Features, sizes: Tensor | None = None) -> Tensor | Features:
        """Normalises images `[N, C, H, W]` to float32 with the weights' mean and std; pixels outside `sizes` `[N, 2]`
        (h, w) become 0. Returns features unchanged: they come from normalised images."""
        if isinstance(images, Features):
            return images
        scale = FULL_SCALE.get(images.dtype, 255.0)
        mean, std = self.mean.view(1, -1, 1, 1), self.std.view(1, -1, 1, 1)
        normalised = (images.float() - mean * scale).div_(std * scale)
        if not self.channels_last:  # batches are: convolutions would follow them
            normalised = normalised.contiguous()
        return normalised if sizes is None else normalised * _inside(sizes, images.shape[-2:])

    def stages(self) -> dict[str, list[nn.Module]]:
        """Lists the modules of each stage, input to output; every parameter is in exactly one."""
        neck = {} if self.neck is None else {"neck": [self.neck]}
        return {**self.trunk.stages(), **neck, "head": [self.head]}

    def blocks(self) -> dict[str, list[nn.Module]]:
        """Lists the blocks of the stages that consist of several, input to output: those that the trunk lists."""
        blocks = getattr(self.trunk, "blocks", None)
        return {} if blocks is None else blocks()


def build(backbone: Backbone, neck: NeckFactory | None, head: HeadFactory, classes: Sequence[str]) -> Network:
    """Builds a network with random weights, channels-last. `resnet_tl.weights` loads weights into it."""
    trunk = build_trunk(backbone)
    levels = trunk.feature_info
    neck_module = None if neck is None else neck(levels)
    head_module = head(levels if neck_module is None else neck_module.feature_info, list(classes))
    return Network(trunk, neck_module, head_module).to(memory_format=torch.channels_last)


def public_keys(network: Network) -> dict[str, str]:
    """Maps state-dict keys to torchvision's: `trunk.conv1.weight` -> `conv1.weight`, `head.fc.bias` -> `fc.bias`.

    Other tensors of necks and heads keep their keys; `mean` and `std`, which are not weights, are excluded.
    """
    keys = [key for key in network.state_dict() if key not in ("mean", "std")]
    return {key: key.removeprefix("trunk.").replace("head.fc.", "fc.", 1) for key in keys}


def is_divisible(trunk: Trunk) -> TypeGuard[DivisibleTrunk]:
    return hasattr(trunk, "level_after")


def build_trunk(backbone: Backbone) -> Trunk:
    """Builds the trunk of a recipe, with random weights."""
    options = {
        "in_channels": backbone.in_channels,
        "output_stride": backbone.output_stride,
        "norm": backbone.norm,
        "drop_path": backbone.drop_path,
        "zero_init_last": backbone.zero_init_last,
        "checkpoint_segments": backbone.checkpoint_segments,
        "adapters": backbone.adapters,
    }
    if "." not in backbone.name:
        return resnet(backbone.name, **options)
    try:
        make = import_maker(backbone.name, Trunk)
        inspect.signature(make).bind(in_channels=backbone.in_channels)
    except RecipeError as error:
        raise RecipeError(f"backbone.name: {error}") from None
    except TypeError as error:
        raise RecipeError(
            f"backbone.name: {backbone.name!r} cannot be called with in_channels alone ({error})"
        ) from None
    return make(in_channels=backbone.in_channels)


def _per_channel(values: Sequence[float], channels: int) -> Tensor:
    if len(values) == channels:
        return torch.tensor(values)
    return torch.full((channels,), sum(values) / len(values))


def _inside(sizes: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns a mask `[N, 1, H, W]` of the pixels within `sizes` `[N, 2]` (h, w)."""
    rows = torch.arange(shape[0], device=sizes.device) < sizes[:, :1]
    columns = torch.arange(shape[1], device=sizes.device) < sizes[:, 1:]
    return (rows[:, :, None] & columns[:, None, :])[:, None]
