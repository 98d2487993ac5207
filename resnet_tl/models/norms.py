"""The normalisations that a trunk can be built with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.errors import RecipeError

NormKind: TypeAlias = Literal["batch", "frozen", "group"]
Norm: TypeAlias = Callable[[int], nn.Module]
"""Channels -> the norm of a map with that many."""


def norm_of(kind: str) -> Norm:
    """The norm called "batch", "frozen" or "group".

    Raises:
        RecipeError: it is called something else.
    """
    norms: dict[str, Norm] = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm, "group": _group_norm}
    if kind not in norms:
        raise RecipeError(f"norm is batch, frozen or group, not {kind!r}")
    return norms[kind]


class FrozenBatchNorm(nn.Module):
    """Batch norm as the constant that it is in eval mode: buffers alone, under batch norm's own keys.

    The backward pass needs none of its input: this saves a map a norm over `nn.BatchNorm2d` in eval mode.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(x.dtype)  # bf16 stays bf16 in autocast


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch norm that keeps to its running statistics where a batch has one value a channel: a single image pooled to
    a single cell has no variance, and a last batch of one must not end a run (torchvision #2151)."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() <= x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def _group_norm(channels: int) -> nn.GroupNorm:
    """The customary 32 groups, fewer where that would leave less than two channels a group."""
    return nn.GroupNorm(math.gcd(32, channels // 2), channels)
