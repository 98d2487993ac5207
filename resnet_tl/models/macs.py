"""The cost of a forward pass by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from resnet_tl.models.network import Network


def stage_macs(network: Network, size: int) -> dict[str, int]:
    """Counts the multiply-accumulates of convolutions and linear layers by stage, for one image of `size` x `size`
    pixels.

    Runs the network on a black image (torch's `meta` device would spare this, but takes 10 s to import).
    """
    counts = dict.fromkeys(network.stages(), 0)
    with ExitStack() as added, _evaluating(network), torch.no_grad():
        for stage, modules in network.stages().items():
            for part in (part for module in modules for part in module.modules()):
                if isinstance(part, (_ConvNd, nn.Linear)):
                    added.callback(part.register_forward_hook(_counter(counts, stage)).remove)
        network(torch.zeros(1, network.trunk.in_channels, size, size, device=network.mean.device))
    return counts


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Sets a network to eval mode, and each of its parts back to its own mode."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


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
