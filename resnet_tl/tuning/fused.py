"""Optimizers that take a step in one kernel (`fused=True` of torch's SGD, Adam and AdamW), where that is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from resnet_tl.errors import RecipeError

FUSED = ("sgd", "adam", "adamw")
"""Names of optimizers that torch can fuse."""

GAINING = {"cuda": FUSED, "cpu": ("adam", "adamw")}
"""Those that gain by it, by device: on one core AdamW's step of ResNet-18 takes 14 ms in place of 41, SGD's 12 either
way (torch 2.14, AMD EPYC)."""

EXCLUDING = ("fused", "foreach", "capturable", "differentiable", "dampening")
"""Further arguments that decide against `optimizer.fused`: torch's alternatives to it, and what its SGD starts with."""


def is_fused(name: str, options: Mapping[str, Any], fused: Literal["auto"] | bool, device: str) -> bool:
    """Whether an optimizer is fused.

    Args:
        name, options, fused: of the recipe's `optimizer`.
        device: the type of the parameters' device, `cuda`, `cpu` or `mps`.

    Raises:
        RecipeError: `fused` is true for an optimizer or options without that form.
    """
    excluding = [option for option in EXCLUDING if option in options]
    if fused == "auto":
        return name in GAINING.get(device, ()) and not excluding
    if fused and name not in FUSED:
        raise RecipeError(f"optimizer.fused is true, but {name!r} has no fused form; expected {', '.join(FUSED)}")
    if fused and excluding:
        raise RecipeError(f"optimizer.fused is true, which excludes optimizer.options.{excluding[0]}; remove one")
    return fused


def prepare_if_fused(optimizer: torch.optim.Optimizer) -> None:
    """Makes a fused optimizer work with phases, gradient clipping and a gradient scaler.

    A checkpoint may make it one: the groups that an optimizer loads say whether they are fused.
    """
    # Lightning refuses to clip gradients where this is true, also without a scaler; and a penalty's gradients would be
    # added to scaled ones. Without it, the scaler divides the gradients before the step, as for any other optimizer.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    if isinstance(optimizer, torch.optim.SGD):
        optimizer.register_step_pre_hook(_start_momentum)


def _start_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Gives every trained parameter its momentum buffer; whether it gets a gradient is not known before the closure.

    torch's fused SGD needs buffers for all parameters of a group or for none; in a phase that trains more of a stage
    than the one before (`train: [biases]`, then `all`) some have one. From zeros the first step is that without.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] and group["momentum"] else ():
            if parameter.requires_grad and optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
