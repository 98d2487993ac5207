"""The stages of any module: named groups of its parts, input to output, every parameter in exactly one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn

from resnet_tl.errors import RecipeError, did_you_mean

Stages: TypeAlias = dict[str, list[nn.Module]]
Paths: TypeAlias = Mapping[str, "str | Sequence[str]"]
"""Stage -> path or paths of modules or parameters, globs allowed: `{"trunk": "net.layer*", "head": ["net.fc"]}`."""


def stages_of(module: nn.Module, paths: Paths | None = None) -> Stages:
    """By `paths`, or by the module's own `stages()`.

    Raises:
        RecipeError: a path that is not there, or a parameter that is in no stage or in two.
    """
    if paths is not None:
        stages = {stage: _parts(module, stage, listed) for stage, listed in paths.items()}
    elif hasattr(module, "stages"):
        stages = module.stages()  # type: ignore[operator]
    else:
        raise RecipeError(
            f"{type(module).__name__} has no stages(): give FineTuning(stages={{name: paths}}) of its parts, "
            f"input to output: {', '.join(_likely_parts(module))}"
        )
    _check_cover(module, stages)
    return stages


def owners(stages: Mapping[str, Sequence[nn.Module]]) -> dict[int, str]:
    """id of a parameter -> its stage."""
    return {id(p): stage for stage, modules in stages.items() for module in modules for p in module.parameters()}


def _parts(module: nn.Module, stage: str, listed: str | Sequence[str]) -> list[nn.Module]:
    """What the paths of one stage name; of modules within each other the outermost alone."""
    named: dict[str, nn.Module | nn.Parameter] = {**dict(module.named_modules()), **dict(module.named_parameters())}
    del named[""]
    found: list[str] = []
    for pattern in [listed] if isinstance(listed, str) else listed:
        matching = [path for path in named if fnmatchcase(path, pattern)]
        if not matching:
            raise RecipeError(
                f"stages.{stage} names {pattern!r}, which {type(module).__name__} has not{did_you_mean(pattern, named)}"
            )
        found += [path for path in matching if path not in found]
    outermost = [path for path in found if not any(path.startswith(f"{other}.") for other in found)]
    parts = [named[path] for path in outermost]
    return [part if isinstance(part, nn.Module) else nn.ParameterList([part]) for part in parts]


def _check_cover(module: nn.Module, stages: Mapping[str, Sequence[nn.Module]]) -> None:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    owner: dict[int, str] = {}
    for stage, modules in stages.items():
        for own in owners({stage: modules}):
            if own in owner:
                raise RecipeError(
                    f"stages {owner[own]!r} and {stage!r} share the parameter {names.get(own, '?')!r}; "
                    "each belongs to one stage"
                )
            owner[own] = stage
    uncovered = [name for own, name in names.items() if own not in owner]
    if uncovered:
        more = f" (nor are {len(uncovered) - 1} more)" if len(uncovered) > 1 else ""
        raise RecipeError(
            f"parameter {uncovered[0]!r} is in no stage{more}; each belongs to one of {', '.join(stages)}, "
            "or to a stage of its own"
        )


def _likely_parts(module: nn.Module) -> list[str]:
    """Paths of the parts that a mapping would name: the children, below wrappers of a single child."""
    path, parts = "", _children(module)
    while len(parts) == 1 and _children(next(iter(parts.values()))):
        ((name, inner),) = parts.items()
        path, parts = f"{path}{name}.", _children(inner)
    return [f"{path}{name}" for name in parts]


def _children(module: nn.Module) -> dict[str, nn.Module]:
    return {name: child for name, child in module.named_children() if len(list(child.parameters()))}
