"""Folds batch norms into convolutions, for networks or parts that are not trained."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from resnet_tl.models.adapters import merge_adapters
from resnet_tl.models.fused_convolution import use_fused_convolutions
from resnet_tl.models.norms import FrozenBatchNorm

Foldable: TypeAlias = "nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm"
FOLDABLE = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm)
M = TypeVar("M", bound=nn.Module)


def fold(module: M, exclude: Iterable[nn.Module] = ()) -> M:
    """Returns a copy of `module` in eval mode, without gradients, channels-last, with batch norms folded into
    convolutions, and adapters merged with them.

    The copy computes what `module` computes in eval mode, up to rounding. Folds the pairs that a module publishes by
    the names of its children as `conv_norm_pairs`, and neighbours within an `nn.Sequential`. The data flow of other
    modules is unknown without running them, so their norms stay.

    exclude: parts that the copy replaces by None; it runs as far as it does not need them.
    """
    # deepcopy's memo maps excluded parts to None: they are never copied, which would need their memory.
    folded = copy.deepcopy(module, {id(part): None for part in exclude}).eval().requires_grad_(False)
    merge_adapters(folded)
    places = Counter(id(part) for _, part in folded.named_modules(remove_duplicate=False))
    for parent in list(folded.modules()):
        for conv, name in _pairs(parent):
            norm = getattr(parent, name)
            # A convolution that is used in two places has two norms; it cannot hold the scale of one.
            if places[id(conv)] == 1 and isinstance(norm, FOLDABLE) and norm.running_mean is not None:
                _fold_into(conv, norm)
                setattr(parent, name, nn.Identity())
    use_fused_convolutions(folded)
    return folded.to(memory_format=torch.channels_last)


def _pairs(parent: nn.Module) -> Iterator[tuple[nn.Conv2d, str]]:
    """Yields the convolutions of `parent` whose output only the next child reads, with the name of that child."""
    for first, second in _neighbours(parent):
        before = getattr(parent, first)
        while type(before) is nn.Sequential and len(before):
            before = before[-1]
        if type(before) is nn.Conv2d or getattr(before, "folds", False):
            yield before, second


def _neighbours(parent: nn.Module) -> Iterator[tuple[str, str]]:
    yield from getattr(parent, "conv_norm_pairs", ())
    if type(parent).forward is nn.Sequential.forward:
        yield from itertools.pairwise(parent._modules)


def _fold_into(conv: nn.Conv2d, norm: Foldable) -> None:
    """Multiplies the norm's scale into the weight and its shift into the bias."""
    # float64 rounds the products only once; on the CPU, since not every accelerator supports it.
    assert norm.running_mean is not None
    assert norm.running_var is not None
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
