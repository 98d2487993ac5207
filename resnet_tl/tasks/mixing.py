"""Training on blends of two images: mixup (arXiv:1710.09412) and cutmix (arXiv:1905.04899).

Images `[N, C, H, W]` are normalised floats on any device; targets are class indices `[N]` or multi-hot `[N, K]`.
An image's partner is its neighbour in the batch, which was shuffled already. Every draw is from torch's generator on
the CPU: the same for all devices, without waiting for one, and restored on resume.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mix(images: Tensor, targets: Tensor, classes: int, *, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """A batch mixed by one of the two: new images `[N, C, H, W]` and soft targets `[N, classes]`.

    mixup, cutmix: the a of the share's Beta(a, a) distribution, 0 for never; with both on, each batch tosses a coin.
    """
    soft = targets.float() if targets.is_floating_point() else F.one_hot(targets, classes).float()
    if mixup and (not cutmix or torch.rand(()) < 0.5):
        return blend(images, soft, share(mixup))
    if cutmix:
        height, width = images.shape[2:]
        return paste(images, soft, box(height, width, share(cutmix)))
    return images, soft


def share(a: float) -> float:
    """How much of an image stays, drawn from Beta(a, a)."""
    return float(torch.distributions.Beta(a, a).sample())


def blend(images: Tensor, targets: Tensor, kept: float) -> tuple[Tensor, Tensor]:
    """`kept` of every image and of its target, and `1 - kept` of its neighbour's."""
    return images.roll(1, 0).lerp(images, kept), targets.roll(1, 0).lerp(targets, kept)


def paste(images: Tensor, targets: Tensor, cut: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """The box `cut` (top, bottom, left, right in pixels) of every image from its neighbour, targets by true area."""
    top, bottom, left, right = cut
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images.roll(1, 0)[:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return pasted, targets.roll(1, 0).lerp(targets, kept)


def box(height: int, width: int, kept: float) -> tuple[int, int, int, int]:
    """A box (top, bottom, left, right) of the image's shape and `1 - kept` of its area around a point drawn anywhere
    on it; what reaches over the border is cut off (section 3.1 of the paper), so it may turn out smaller."""
    side = math.sqrt(1 - kept)
    half_height, half_width = round(height * side) // 2, round(width * side) // 2
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    return max(y - half_height, 0), min(y + half_height, height), max(x - half_width, 0), min(x + half_width, width)
