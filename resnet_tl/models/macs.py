"""What a forward pass costs, stage by stage."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from resnet_tl.models.network import Network


def stage_macs(network: Network, size: int) -> dict[str, int]:
    """Multiply-accumulates of one image of `size` x `size` pixels by stage, in convolutions and linear layers.

    A copy of the network sees one black image (on torch's `meta` device it need not, but that takes 10 s to import).
    """
    twin = copy.deepcopy(network).eval()
    counts = dict.fromkeys(twin.stages(), 0)
    for stage, modules in twin.stages().items():
        for part in (part for module in modules for part in module.modules() if isinstance(part, (_ConvNd, nn.Linear))):
            part.register_forward_hook(lambda layer, given, out, stage=stage: _add(counts, stage, layer, given[0], out))
    with torch.no_grad():
        twin(torch.zeros(1, twin.trunk.in_channels, size, size, device=twin.mean.device))
    return counts


def _add(counts: dict[str, int], stage: str, layer: Any, given: Tensor, out: Tensor) -> None:
    """Each weight meets every output pixel, or of a transposed convolution every input pixel, once."""
    pixels = given if isinstance(layer, _ConvTransposeNd) else out
    counts[stage] += pixels.numel() * layer.weight[0].numel()
