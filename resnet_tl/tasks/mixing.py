"""Training on blends of two images: mixup (arXiv:1710.09412) and cutmix (arXiv:1905.04899).

Images `[N, C, H, W]` are normalised floats on any device; targets are class indices `[N]` or multi-hot `[N, K]`.
An image is mixed with its neighbour in the shuffled batch. All draws come from torch's CPU generator: they are equal on
all devices, never wait for one, and are restored on resume.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mix(images: Tensor, targets: Tensor, classes: int, *, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """Mixes a batch by one of the two; returns new images `[N, C, H, W]` and soft targets `[N, classes]`.

    mixup, cutmix: the a of the share's Beta(a, a) distribution; 0: off. With both, each batch uses either at random.
    """
    soft = targets.float() if targets.is_floating_point() else F.one_hot(targets, classes).float()
    if mixup and (not cutmix or torch.rand(()) < 0.5):
        return blend(images, soft, share(mixup))
    if cutmix:
        height, width = images.shape[2:]
        return paste(images, soft, box(height, width, share(cutmix)))
    return images, soft


def share(a: float) -> float:
    """Draws the share of an image that remains, from Beta(a, a)."""
    return float(torch.distributions.Beta(a, a).sample())


def blend(images: Tensor, targets: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Averages every image and target with its neighbour's: `weight` of each, `1 - weight` of the neighbour's."""
    return images.roll(1, 0).lerp(images, weight), targets.roll(1, 0).lerp(targets, weight)


def paste(images: Tensor, targets: Tensor, cut: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Pastes the box `cut` (top, bottom, left, right in pixels) of every image's neighbour; targets by its area."""
    top, bottom, left, right = cut
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images.roll(1, 0)[:, :, top:bottom, left:right]
    weight = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return pasted, targets.roll(1, 0).lerp(targets, weight)


def box(height: int, width: int, weight: float) -> tuple[int, int, int, int]:
    """Draws a box (top, bottom, left, right) of the image's shape and `1 - weight` of its area. It is centred anywhere
    in the image and clipped at the border, so it may be smaller (section 3.1 of the paper)."""
    side = math.sqrt(1 - weight)
    half_height, half_width = round(height * side) // 2, round(width * side) // 2
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    return max(y - half_height, 0), min(y + half_height, height), max(x - half_width, 0), min(x + half_width, width)
