"""Freezing: no gradients, no moving statistics, no randomness, whatever mode the rest of the network is in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from resnet_tl.errors import RecipeError


def freeze(modules: Iterable[nn.Module]) -> None:
    """Freezes the modules: parameters without gradient, and eval mode that a later `train()` does not change.

    Existing gradients are dropped: an optimizer with momentum or decay moves whatever has one, even a gradient of 0.

    Raises:
        RecipeError: a norm has no running statistics: even in eval mode it normalises an image by its batch.
    """
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        module.eval()
        for name, part in module.named_modules():
            _check_norm(name, part)
            _fix_in_eval(part)


def unfreeze(modules: Iterable[nn.Module], *, norms_frozen: bool = False) -> None:
    """Unfreezes the modules, in train mode. With `norms_frozen` norms still use their running statistics."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        for part in module.modules():
            vars(part).pop("train", None)
        module.train()  # by the module's own `train`, which a network may override
        for part in module.modules():
            if norms_frozen and has_running_statistics(part):
                _fix_in_eval(part)


def unfreeze_only(modules: Sequence[nn.Module], kinds: Collection[str], *, norms_frozen: bool = False) -> None:
    """Unfreezes `kinds` of `resnet_tl.tuning.plan.KINDS` and freezes the rest. Statistics move only of norms that are
    trained."""
    freeze(modules)
    parts = [part for module in modules for part in module.modules()]
    norms = [part for part in parts if _is_norm(part)]
    trained = norms if "norms" in kinds else norms[-1:] if "last_norm" in kinds else []
    for part in parts:
        for name, parameter in part.named_parameters(recurse=False):
            parameter.requires_grad_(part in trained or bool(_kinds_of(part, name) & set(kinds)))
    # `freeze` has fixed all parts in eval mode; a norm that is trained normalises by its batch again, in training.
    switched = [part for part in trained if not (norms_frozen and has_running_statistics(part))]
    for part in parts:
        if part in switched:
            vars(part).pop("train", None)
            part.train()
        elif any(inner in switched for inner in part.modules()):
            _fix_in_eval(part, _pass_on)


def kinds_in(modules: Iterable[nn.Module]) -> set[str]:
    """Returns which of `resnet_tl.tuning.plan.KINDS` a stage has."""
    parts = [part for module in modules for part in module.modules()]
    parameters = [(part, name) for part in parts for name, _ in part.named_parameters(recurse=False)]
    kinds = {kind for part, name in parameters for kind in _kinds_of(part, name)}
    return kinds | {"last_norm"} if "norms" in kinds else kinds


def is_fixed_in_eval(part: nn.Module) -> bool:
    """Whether a module stays in eval mode when its network is set to train mode."""
    return "train" in vars(part)


def frozen_keys(module: nn.Module) -> list[str]:
    """Returns the state-dict keys of parameters without gradient, and of buffers of parts fixed in eval mode."""
    keys, saved = [], module.state_dict().keys()
    for path, part in module.named_modules():
        names = [name for name, parameter in part.named_parameters(recurse=False) if not parameter.requires_grad]
        names += [name for name, _ in part.named_buffers(recurse=False) if is_fixed_in_eval(part)]
        keys += [f"{path}.{name}" if path else name for name in names]
    return [key for key in keys if key in saved]


def _kinds_of(part: nn.Module, name: str) -> set[str]:
    """Returns the kinds of a parameter, of `resnet_tl.tuning.plan.KINDS`; several, one or none."""
    kinds = {"norms": _is_norm(part), "biases": name == "bias", "adapters": getattr(part, "is_adapter", False)}
    return {kind for kind, holds in kinds.items() if holds}


def _is_norm(part: nn.Module) -> bool:
    return isinstance(part, (nn.LayerNorm, nn.GroupNorm)) or has_running_statistics(part)


def has_running_statistics(part: nn.Module) -> bool:
    """Whether a module is one of torch's batch or instance norms, or a custom norm with the usual buffer names."""
    return isinstance(part, _NormBase) or any(name.startswith("running_") for name, _ in part.named_buffers("", False))


def _check_norm(name: str, part: nn.Module) -> None:
    if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
        raise RecipeError(
            f"{name or type(part).__name__} is a {type(part).__name__} without running statistics "
            "(track_running_stats=False): it always normalises by the batch and cannot be frozen"
        )


def _fix_in_eval(part: nn.Module, train: Callable[..., nn.Module] | None = None) -> None:
    part.training = False
    # A method would not survive pickling.
    part.train = partial(train or _stay, part)  # type: ignore[method-assign, assignment]


def _stay(part: nn.Module, mode: bool = True) -> nn.Module:
    return part


def _pass_on(part: nn.Module, mode: bool = True) -> nn.Module:
    """Leaves a module in eval mode and sets that of what it holds, of which something is trained."""
    for child in part.children():
        child.train(mode)
    return part
