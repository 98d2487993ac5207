"""Convolution and batch norm as one convolution, for what is no longer trained."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from resnet_tl.models.norms import FrozenBatchNorm

FOLDABLE = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm)


def fold(module: nn.Module, exclude: Iterable[nn.Module] = ()) -> Any:
    """A copy of `module` in eval mode, without gradients, channels-last, its batch norms folded into convolutions.

    It computes what `module` computes in eval mode, up to rounding. Folded are the pairs that a module publishes as
    `conv_norm_pairs`, by its children's names, and the neighbours within an `nn.Sequential`; in modules that are not
    ours nothing else can be known without running them, and it stays as it is.

    exclude: parts in whose place the copy has None; it can be run as far as it does not need them.
    """
    folded = copy.deepcopy(module, {id(part): None for part in exclude}).eval().requires_grad_(False)
    places = Counter(id(part) for _, part in folded.named_modules(remove_duplicate=False))
    for parent in list(folded.modules()):
        for conv, name in _pairs(parent):
            norm = getattr(parent, name)
            if places[id(conv)] == 1 and isinstance(norm, FOLDABLE) and norm.running_mean is not None:
                _fold_into(conv, norm)
                setattr(parent, name, nn.Identity())
    return folded.to(memory_format=torch.channels_last)


def _pairs(parent: nn.Module) -> Iterator[tuple[nn.Conv2d, str]]:
    """Convolutions of `parent` whose output goes to a norm alone, and that norm's name."""
    for first, second in _neighbours(parent):
        before = getattr(parent, first)
        while type(before) is nn.Sequential and len(before):
            before = before[-1]
        if type(before) is nn.Conv2d:
            yield before, second


def _neighbours(parent: nn.Module) -> Iterator[tuple[str, str]]:
    yield from getattr(parent, "conv_norm_pairs", ())
    if type(parent).forward is nn.Sequential.forward:
        yield from itertools.pairwise(parent._modules)


def _fold_into(conv: nn.Conv2d, norm: Any) -> None:
    """In float64, so that the products are rounded once; on the CPU, as not every accelerator has it."""
    mean, variance = norm.running_mean.cpu().double(), norm.running_var.cpu().double()
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale *= norm.weight.cpu().double()
    shift = -mean * scale
    if norm.bias is not None:
        shift += norm.bias.cpu().double()
    if conv.bias is not None:
        shift += conv.bias.cpu().double() * scale
    weight = conv.weight.cpu().double() * scale[:, None, None, None]
    conv.bias = nn.Parameter(shift.to(conv.weight), requires_grad=False)
    conv.weight = nn.Parameter(weight.to(conv.weight), requires_grad=False)
