"""The residual blocks of a ResNet. Parameters have torchvision's and timm's names, so that published weights load as
they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.models.fused_convolution import FusedConv2d, conv_norm_relu
from resnet_tl.models.norms import Norm
from resnet_tl.models.variants import Variant


@dataclass(frozen=True)
class Place:
    """A block's position in the network: its channels, strides, dilations and drop-path rate.

    stride_first: a bottleneck strides in its first convolution.
    first_dilation, dilation: of the block's first 3x3 convolution, and of the others.
    map_stride: of the output, in input pixels per cell.
    """

    in_channels: int
    width: int
    out_channels: int
    stride: int
    stride_first: bool
    first_dilation: int
    dilation: int
    drop_path: float
    map_stride: int


class Block(nn.Module):
    """Base of the two kinds of block: `relu(branch(x) + shortcut(x))`."""

    conv_norm_pairs: ClassVar[tuple[tuple[str, str], ...]]

    def __init__(self, variant: Variant, place: Place, norm: Norm) -> None:
        super().__init__()
        self.se = SqueezeExcite(place.out_channels) if variant.squeeze_excite else nn.Identity()
        self.drop_path = DropPath(place.drop_path) if place.drop_path else nn.Identity()
        self.downsample = _shortcut(variant, place, norm)

    def inner(self, x: Tensor) -> Tensor:
        """The branch up to its last convolution: `[N, in_channels, H, W]` to `[N, width, ceil(H / stride), ceil(W /
        stride)]`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in_channels, H, W]` to `[N, out_channels, ceil(H / stride), ceil(W / stride)]`."""
        y = self.inner(x)
        conv, norm = (getattr(self, name) for name in self.conv_norm_pairs[-1])
        folded = isinstance(conv, FusedConv2d) and type(norm) is nn.Identity
        if folded and type(self.se) is nn.Identity and not self.training:
            return conv.add_relu(y, self.downsample(x))
        y = self.drop_path(self.se(norm(conv(y))))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class BasicBlock(Block):
    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, variant: Variant, place: Place, norm: Norm) -> None:
        super().__init__(variant, place, norm)
        self.conv1 = conv(place.in_channels, place.width, 3, stride=place.stride, dilation=place.first_dilation)
        self.bn1 = norm(place.width)
        self.conv2 = conv(place.width, place.width, 3, dilation=place.dilation)
        self.bn2 = norm(place.width)

    def inner(self, x: Tensor) -> Tensor:
        return conv_norm_relu(self.conv1, self.bn1, x)


class Bottleneck(Block):
    """Strides in the 3x3 convolution, as in torchvision and timm ("V1.5"); with `stride_first`, in the first 1x1 as in
    the paper."""

    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, variant: Variant, place: Place, norm: Norm) -> None:
        super().__init__(variant, place, norm)
        inner = place.width * variant.group_width // 64 * variant.groups
        first, second = (place.stride, 1) if place.stride_first else (1, place.stride)
        self.conv1 = conv(place.in_channels, inner, 1, stride=first)
        self.bn1 = norm(inner)
        self.conv2 = conv(inner, inner, 3, stride=second, dilation=place.first_dilation, groups=variant.groups)
        self.bn2 = norm(inner)
        self.conv3 = conv(inner, place.out_channels, 1)
        self.bn3 = norm(place.out_channels)

    def inner(self, x: Tensor) -> Tensor:
        return conv_norm_relu(self.conv2, self.bn2, conv_norm_relu(self.conv1, self.bn1, x))


def _shortcut(variant: Variant, place: Place, norm: Norm) -> nn.Module:
    """Builds the shortcut: the identity, unless the shape changes."""
    new_channels = place.out_channels - place.in_channels
    if place.stride == 1 and new_channels == 0:
        return nn.Identity()
    if variant.small_images:
        return PaddedShortcut(new_channels, place.stride)
    if not variant.average_down:
        projection = conv(place.in_channels, place.out_channels, 1, stride=place.stride)
        return nn.Sequential(projection, norm(place.out_channels))
    pool: nn.Module = nn.Identity()
    if place.stride > 1:
        pool = nn.AvgPool2d(2, place.stride, ceil_mode=True, count_include_pad=False)
    elif place.dilation > 1:  # timm keeps the averaging where dilation replaces the stride
        pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 1))
    return nn.Sequential(pool, conv(place.in_channels, place.out_channels, 1), norm(place.out_channels))


class PaddedShortcut(nn.Module):
    """Option A of the paper (section 3.3): takes every `stride`-th pixel, and pads new channels with zeros, half on
    either side."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.before = new_channels // 2
        self.after = new_channels - self.before
        self.subsample = nn.AvgPool2d(1, stride)  # a slice would lose channels-last for odd sizes

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C + new_channels, ceil(H / stride), ceil(W / stride)]`."""
        return F.pad(self.subsample(x), (0, 0, 0, 0, self.before, self.after))


class SqueezeExcite(nn.Module):
    """Weighs channels by a small network on their means (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // 16, 8)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H, W]`."""
        squeezed = F.relu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True)
        return x * self.fc2(squeezed).sigmoid()


class DropPath(nn.Module):
    """Zeroes a residual branch with probability `rate`, for each image, in training (arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H, W]`, scaled by 1 / (1 - rate) where it is not zeroed."""
        if not self.training:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(keep).div_(keep)


def conv(inputs: int, outputs: int, size: int, *, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)
