"""The cost of a forward pass by stage."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from resnet_tl.models.network import Network


def stage_macs(network: Network, size: int) -> dict[str, int]:
    """Counts the multiply-accumulates of convolutions and linear layers by stage, for one image of `size` x `size`
    pixels.

    Runs a copy of the network on a black image (torch's `meta` device would spare this, but takes 10 s to import).
    """
    twin = copy.deepcopy(network).eval()
    counts = dict.fromkeys(twin.stages(), 0)
    for stage, modules in twin.stages().items():
        for part in (part for module in modules for part in module.modules() if isinstance(part, (_ConvNd, nn.Linear))):
            part.register_forward_hook(_counter(counts, stage))
    with torch.no_grad():
        twin(torch.zeros(1, twin.trunk.in_channels, size, size, device=twin.mean.device))
    return counts


def layer_macs(layer: _ConvNd | nn.Linear, x: Tensor, out: Tensor) -> int:
    """Counts the multiply-accumulates from `x` to `out`: each weight meets every output pixel once, in a transposed
    convolution every input pixel."""
    pixels = x if isinstance(layer, _ConvTransposeNd) else out
    return pixels.numel() * layer.weight[0].numel()


def _counter(counts: dict[str, int], stage: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def add(layer: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(layer, (_ConvNd, nn.Linear))
        counts[stage] += layer_macs(layer, args[0], out)

    return add
