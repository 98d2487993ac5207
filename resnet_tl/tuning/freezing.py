"""What frozen means: no gradient, no moving statistics, no randomness, whatever mode the rest is in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from resnet_tl.errors import RecipeError


def freeze(modules: Iterable[nn.Module]) -> None:
    """Parameters without gradient; every part held in eval mode, also through a later `train()`.

    Gradients already there are dropped: an optimizer with momentum or decay moves whatever has one, zeros included.

    Raises:
        RecipeError: a norm that has no running statistics, so that even in eval mode an image depends on its batch.
    """
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        module.eval()
        for name, part in module.named_modules():
            _check_norm(name, part)
            _hold_eval(part)


def unfreeze(modules: Iterable[nn.Module], *, norms_frozen: bool = False) -> None:
    """Trained again, in train mode. With `norms_frozen` normalisation keeps to its running statistics."""
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
        for part in module.modules():
            vars(part).pop("train", None)
        module.train()  # by the parts' own `train`, where a network has its own idea of it
        for part in module.modules():
            if norms_frozen and keeps_statistics(part):
                _hold_eval(part)


def unfreeze_only(modules: Sequence[nn.Module], kinds: Collection[str], *, norms_frozen: bool = False) -> None:
    """Of `norms` and `biases` the `kinds`; the rest is frozen. The norms' statistics move only where `norms` train."""
    freeze(modules)
    for part in (part for module in modules for part in module.modules()):
        for name, parameter in part.named_parameters(recurse=False):
            parameter.requires_grad_(bool(_kinds_of(part, name) & set(kinds)))
        if "norms" in kinds and _is_norm(part) and not (norms_frozen and keeps_statistics(part)):
            vars(part).pop("train", None)
            part.train()


def kinds_in(modules: Iterable[nn.Module]) -> set[str]:
    """Which of `norms` and `biases` a stage has."""
    parts = [part for module in modules for part in module.modules()]
    own = [(part, name) for part in parts for name, _ in part.named_parameters(recurse=False)]
    return {kind for part, name in own for kind in _kinds_of(part, name)}


def is_held(part: nn.Module) -> bool:
    """Whether a module stays in eval mode whatever its network does."""
    return "train" in vars(part)


def held_keys(module: nn.Module) -> list[str]:
    """State-dict keys of what does not move: parameters without gradient, buffers of parts held in eval mode."""
    keys, saved = [], module.state_dict().keys()
    for path, part in module.named_modules():
        own = [name for name, parameter in part.named_parameters(recurse=False) if not parameter.requires_grad]
        own += [name for name, _ in part.named_buffers(recurse=False) if is_held(part)]
        keys += [f"{path}.{name}" if path else name for name in own]
    return [key for key in keys if key in saved]


def _kinds_of(part: nn.Module, name: str) -> set[str]:
    """What a module's own parameter is: one of a norm, a bias, both or neither."""
    return {kind for kind, holds in (("norms", _is_norm(part)), ("biases", name == "bias")) if holds}


def _is_norm(part: nn.Module) -> bool:
    return isinstance(part, (nn.LayerNorm, nn.GroupNorm)) or keeps_statistics(part)


def keeps_statistics(part: nn.Module) -> bool:
    """A norm of torch's, or one of a user's own by the names that they all use."""
    return isinstance(part, _NormBase) or any(name.startswith("running_") for name, _ in part.named_buffers("", False))


def _check_norm(name: str, part: nn.Module) -> None:
    if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None:
        raise RecipeError(
            f"{name or type(part).__name__} is a {type(part).__name__} without running statistics "
            "(track_running_stats=False): it normalises by the batch always and cannot be frozen"
        )


def _hold_eval(part: nn.Module) -> None:
    part.training = False
    part.train = partial(_stay, part)  # type: ignore[method-assign, assignment]  # a method would not survive pickling


def _stay(part: nn.Module, mode: bool = True) -> nn.Module:
    return part
