"""Layers shared by several decoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.models.norms import Norm, PooledBatchNorm
from resnet_tl.structures.records import Level


def enlarge(x: Tensor, factor: int, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Enlarges `[N, C, h, w]` by `factor`, and crops it at the bottom and right to `size` (H, W)."""
    # A map of stride s covers ceil(H / s) * s rows. Enlarged by s and cropped to H, each cell covers the pixels that it
    # was computed from, even if s does not divide H; resizing to H would shift them.
    if factor > 1:
        x = F.interpolate(x, scale_factor=float(factor), mode=mode, align_corners=False if mode == "bilinear" else None)
    return x[..., : size[0], : size[1]]


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int, *, dilation: int = 1, norm: Norm = PooledBatchNorm
) -> list[nn.Module]:
    """Returns a convolution that keeps the size, a norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    return [conv, norm(outputs), nn.ReLU(inplace=True)]


def separable_norm_relu(inputs: int, outputs: int, *, dilation: int = 1) -> list[nn.Module]:
    """Returns a 3x3 convolution within channels and a 1x1 convolution across them (arXiv:1802.02611, section 3.1), a
    norm and ReLU."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
    return [depthwise, *conv_norm_relu(inputs, outputs, 1)]


class OnLevel(nn.Sequential):
    """A decoder of layers on the map of one level; the result has `channels` and the level's stride."""

    def __init__(self, level: Level, channels: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.level, self.stride, self.channels = level.name, level.stride, channels
        self.reads = (level.name,)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Maps `{level: [N, C, H, W]}` -> `[N, channels, H, W]`."""
        return super().forward(maps[self.level])


class PooledBranch(nn.Sequential):
    """Averages over `bins` x `bins` parts of the image, applies a 1x1 convolution, and resizes to the map's size."""

    def __init__(self, inputs: int, outputs: int, bins: int) -> None:
        super().__init__(BinMeans(bins), *conv_norm_relu(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inputs, H, W]` to `[N, outputs, H, W]`."""
        return F.interpolate(super().forward(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


class BinMeans(nn.AdaptiveAvgPool2d):
    """Averages over `bins` x `bins` parts, in exported graphs of any size, too."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, bins, bins]`."""
        if not torch.compiler.is_exporting():
            return super().forward(x)
        assert isinstance(self.output_size, int)
        down, across = (_shares(side, self.output_size, x) for side in x.shape[-2:])
        return down @ x @ across.T


def _shares(side: int, bins: int, like: Tensor) -> Tensor:
    """Returns the share `[bins, side]` of each cell in the mean of each bin; neighbouring bins overlap by a cell unless
    `bins` divides `side`."""
    cell, bin_ = torch.arange(side, device=like.device), torch.arange(bins, device=like.device)[:, None]
    inside = ((cell >= bin_ * side // bins) & (cell < ((bin_ + 1) * side + bins - 1) // bins)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def initialise(module: nn.Module) -> None:
    """He et al., arXiv:1502.01852, scaled by the number of inputs, since decoders end in few channels."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
