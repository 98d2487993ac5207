"""What frozen means: no gradient, no moving statistics, no randomness, whatever mode the rest is in."""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def freeze(modules: Iterable[nn.Module]) -> None:
    """Parameters without gradient; every part held in eval mode, also through a later `train()`.

    Gradients already there are dropped: an optimizer with momentum or decay moves whatever has one, zeros included.
    """
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        for part in module.modules():
            _hold_eval(part)


def unfreeze(modules: Iterable[nn.Module], *, norms_frozen: bool = False) -> None:
    """Trained again, in train mode. With `norms_frozen` normalisation keeps to its running statistics."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        for part in module.modules():
            if norms_frozen and isinstance(part, _NormBase):
                _hold_eval(part)
            else:
                _release(part)


def _hold_eval(part: nn.Module) -> None:
    part.training = False
    part.train = MethodType(_stay, part)  # type: ignore[method-assign]


def _release(part: nn.Module) -> None:
    vars(part).pop("train", None)
    part.training = True


def _stay(part: nn.Module, mode: bool = True) -> nn.Module:
    return part
