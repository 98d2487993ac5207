"""Normalisation layers of trunks, necks and decoders."""

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
"""Builds the norm of a map with that many channels."""


def norm_of(kind: str) -> Norm:
    """Returns the norm called "batch", "frozen" or "group".

    Raises:
        RecipeError: there is no norm of that name.
    """
    norms: dict[str, Norm] = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm, "group": _group_norm}
    if kind not in norms:
        raise RecipeError(f"norm is batch, frozen or group, not {kind!r}")
    return norms[kind]


class FrozenBatchNorm(nn.Module):
    """Batch norm as a constant affine map, as in eval mode: only buffers, with the keys of batch norm.

    Its backward pass does not need the input, which saves one stored map per norm over `nn.BatchNorm2d` in eval mode.
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
        """`[N, C, H, W]` to `[N, C, H, W]`, in the dtype of `x`: bf16 stays bf16 under autocast."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(x.dtype)


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch norm that uses its running statistics for a batch with one value per channel: a single image pooled to a
    single cell has no variance, and a last batch of one must not end a run (torchvision #2151)."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H, W]`."""
        if self.training and x.numel() <= x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def _group_norm(channels: int) -> nn.GroupNorm:
    """Returns a norm with the customary 32 groups, fewer if a group would have less than two channels."""
    return nn.GroupNorm(math.gcd(32, channels // 2), channels)
