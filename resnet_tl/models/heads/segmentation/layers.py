"""Layers that several decoders are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.models.norms import Norm, PooledBatchNorm
from resnet_tl.structures.records import Level


def enlarge(x: Tensor, factor: int, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """`[N, C, h, w]` times `factor`, cut at the bottom and right to `size`.

    A map of stride s covers ceil(H / s) * s rows: enlarged by s and cut to H, each cell lies over the pixels that it
    was computed from, also where s does not divide H.
    """
    if factor > 1:
        x = F.interpolate(x, scale_factor=float(factor), mode=mode, align_corners=False if mode == "bilinear" else None)
    return x[..., : size[0], : size[1]]


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int, *, dilation: int = 1, norm: Norm = PooledBatchNorm
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    return [conv, norm(outputs), nn.ReLU(inplace=True)]


def separable_norm_relu(inputs: int, outputs: int, *, dilation: int = 1) -> list[nn.Module]:
    """A 3x3 convolution in each channel, then a 1x1 across channels (arXiv:1802.02611, section 3.1)."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
    return [depthwise, *conv_norm_relu(inputs, outputs, 1)]


class OnLevel(nn.Sequential):
    """Layers over the map of one level; the result has `channels` and the level's stride."""

    def __init__(self, level: Level, channels: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.level, self.stride, self.channels = level.name, level.stride, channels
        self.reads = (level.name,)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        return super().forward(maps[self.level])


class PooledBranch(nn.Sequential):
    """Average over `bins` x `bins` parts of the image, a 1x1 convolution, and back to the map's size."""

    def __init__(self, inputs: int, outputs: int, bins: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(bins), *conv_norm_relu(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(super().forward(x), size=x.shape[-2:], mode="bilinear", align_corners=False)


def initialise(module: nn.Module) -> None:
    """He et al., arXiv:1502.01852, by the inputs' number: decoders end in few channels."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
