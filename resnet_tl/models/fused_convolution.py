"""Convolutions of networks that are not trained: with prepacked weights, and with the addition and the ReLU that follow
in the same pass over the output (oneDNN's post-ops, on x86 CPUs).

The results are those of the separate operations: in fp32 bit for bit where oneDNN computes these, too. oneDNN's ReLU
makes 0 of NaN, which would hide it: weights that are not finite are not fused, and images that are not must not be.
"""

from __future__ import annotations

import functools
import platform
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_ops: Any = torch.ops.mkldnn
_packed: WeakKeyDictionary[nn.Module, tuple[Any, Tensor | None]] = WeakKeyDictionary()
"""Convolution -> the version of its weight, and this in oneDNN's layout, None if it is not finite. Apart from it, so no
copy or file holds it."""


class FusedConv2d(nn.Conv2d):
    """An `nn.Conv2d` that is run by `torch.ops.mkldnn` where that can: in eager mode, without gradients and autocast.

    Elsewhere (other devices, torch.compile and torch.export, which fuse by themselves) it runs as any other.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H', W']`."""
        return super().forward(x) if (weight := _weight(self, x)) is None else self._fused(x, weight, "none")

    def relu(self, x: Tensor) -> Tensor:
        """Returns relu(convolution(x))."""
        if (weight := _weight(self, x)) is None:
            return F.relu(super().forward(x), inplace=True)
        return self._fused(x, weight, "relu")

    def add_relu(self, x: Tensor, other: Tensor) -> Tensor:
        """Returns relu(convolution(x) + other); `other` stays as it is."""
        if (weight := _weight(self, x)) is None:
            return F.relu(super().forward(x).add_(other), inplace=True)
        other = other.contiguous(memory_format=torch.channels_last)
        fused: Tensor = _ops._convolution_pointwise.binary(
            x, other, weight, self.bias, *_geometry(self), "add", 1.0, "relu", [], ""
        )
        return fused

    def _fused(self, x: Tensor, weight: Tensor, then: str) -> Tensor:
        fused: Tensor = _ops._convolution_pointwise(x, weight, self.bias, *_geometry(self), then, [], "")
        return fused


def use_fused_convolutions(module: nn.Module) -> None:
    """Turns the convolutions of a network that is not trained into `FusedConv2d`, in place."""
    for part in module.modules():
        if type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str):
            part.__class__ = FusedConv2d


def conv_norm_relu(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """Returns relu(norm(conv(x))): in one pass if the norm was folded into the convolution."""
    if isinstance(conv, FusedConv2d) and type(norm) is nn.Identity:
        return conv.relu(x)
    return F.relu(norm(conv(x)), inplace=True)


def _runs(conv: FusedConv2d, x: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_grad_enabled():
        return False
    return (
        type(x) is Tensor
        and x.device.type == conv.weight.device.type == "cpu"
        and x.dtype == conv.weight.dtype
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not conv.weight.is_inference()  # these do not count how often they were written
        and bool(torch.backends.mkldnn.enabled)
        and _supports(x.dtype)
    )


@functools.cache
def _supports(dtype: torch.dtype) -> bool:
    """Whether this machine and torch can: Arm's builds have a oneDNN without these post-ops."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(_ops._is_mkldnn_bf16_supported()))


def _weight(conv: FusedConv2d, x: Tensor) -> Tensor | None:
    """Returns the packed weight; None where the convolution is not fused."""
    if not _runs(conv, x):
        return None
    weight, bias = conv.weight, conv.bias
    # The address sees a weight that was replaced or moved, autograd's counter one that was written in place.
    version = tuple((each.data_ptr(), each._version, each.dtype) for each in (weight, bias) if each is not None)
    known = _packed.get(conv)
    if known is None or known[0] != version:
        packed = None
        if weight.isfinite().all() and (bias is None or bias.isfinite().all()):
            packed = _ops._reorder_convolution_weight(weight.detach(), *_geometry(conv), list(x.shape))
        known = _packed[conv] = version, packed
    return known[1]


def _geometry(conv: nn.Conv2d) -> tuple[Any, ...]:
    return conv.padding, conv.stride, conv.dilation, conv.groups
