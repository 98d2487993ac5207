"""The stages of any module: named groups of its submodules, input to output, every parameter in exactly one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.tuning.plan import unit_name

Stages: TypeAlias = dict[str, list[nn.Module]]
Paths: TypeAlias = Mapping[str, "str | Sequence[str]"]
"""Stage -> path or paths of modules or parameters, globs allowed: `{"trunk": "net.layer*", "head": ["net.fc"]}`."""


def stages_of(module: nn.Module, paths: Paths | None = None) -> Stages:
    """Returns the stages by `paths`, or by the module's own `stages()`.

    Raises:
        RecipeError: a path does not exist, or a parameter is in no stage or in two.
    """
    if paths is not None:
        stages = {stage: _parts(module, stage, listed) for stage, listed in paths.items()}
    elif (own_stages := getattr(module, "stages", None)) is not None:
        stages = own_stages()
    else:
        raise RecipeError(
            f"{type(module).__name__} has no stages(): pass FineTuning(stages={{name: paths}}) of its "
            f"parts, input to output: {', '.join(_likely_parts(module))}"
        )
    _check_cover(module, stages)
    return stages


def blocks_of(module: nn.Module, stages: Stages) -> Stages:
    """Returns the blocks of each stage that has several, input to output, by the module's own `blocks()`.

    Raises:
        RecipeError: it lists none, or a parameter of such a stage is in none of its blocks, or in two.
    """
    own_blocks: Stages = getattr(module, "blocks", dict)()
    blocks = {stage: list(parts) for stage, parts in own_blocks.items() if stage in stages}
    if not blocks:
        raise RecipeError(
            "tuning.phases: layer_decay_by is block, but this network lists no blocks; set it to stage, or give the "
            f"trunk blocks(), or {type(module).__name__}: the blocks of each stage of several, input to output"
        )
    for stage, parts in blocks.items():
        whole = nn.ModuleList(stages[stage])
        _check_cover(whole, {unit_name(stage, number): [part] for number, part in enumerate(parts)})
    return {stage: parts for stage, parts in blocks.items() if len(parts) > 1}


def units_of(stages: Stages, blocks: Stages) -> dict[str, Stages]:
    """Returns what has a rate of its own, by stage: its blocks, where it has several, the last under its own name."""
    return {stage: _units(stage, blocks[stage]) if stage in blocks else {stage: stages[stage]} for stage in stages}


def owners(stages: Mapping[str, Sequence[nn.Module]]) -> dict[int, str]:
    """Returns the stage of each parameter, by the parameter's id."""
    return {id(p): stage for stage, modules in stages.items() for module in modules for p in module.parameters()}


def _units(stage: str, blocks: Sequence[nn.Module]) -> Stages:
    earlier = {unit_name(stage, number): [block] for number, block in enumerate(blocks[:-1])}
    return {**earlier, stage: [blocks[-1]]}


def _parts(module: nn.Module, stage: str, listed: str | Sequence[str]) -> list[nn.Module]:
    """Returns the modules of one stage; of nested modules only the outermost."""
    named: dict[str, nn.Module | nn.Parameter] = {**dict(module.named_modules()), **dict(module.named_parameters())}
    del named[""]
    paths: list[str] = []
    for pattern in [listed] if isinstance(listed, str) else listed:
        matching = [path for path in named if fnmatchcase(path, pattern)]
        if not matching:
            raise RecipeError(
                f"stages.{stage} names {pattern!r}, which {type(module).__name__} does not have"
                + did_you_mean(pattern, named)
            )
        paths += [path for path in matching if path not in paths]
    outermost = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    parts = [named[path] for path in outermost]
    return [part if isinstance(part, nn.Module) else nn.ParameterList([part]) for part in parts]


def _check_cover(module: nn.Module, stages: Mapping[str, Sequence[nn.Module]]) -> None:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    owner: dict[int, str] = {}
    for stage, modules in stages.items():
        for key in owners({stage: modules}):
            if key in owner:
                raise RecipeError(
                    f"stages {owner[key]!r} and {stage!r} share the parameter {names.get(key, '?')!r}; "
                    "each belongs to one stage"
                )
            owner[key] = stage
    uncovered = [name for key, name in names.items() if key not in owner]
    if uncovered:
        more = f" (nor are {len(uncovered) - 1} more)" if len(uncovered) > 1 else ""
        raise RecipeError(
            f"parameter {uncovered[0]!r} is in no stage{more}; add it to one of {', '.join(stages)}, "
            "or to another stage"
        )


def _likely_parts(module: nn.Module) -> list[str]:
    """Returns the paths that a mapping would name: the children, inside wrappers with a single child."""
    path, parts = "", _children(module)
    while len(parts) == 1 and _children(next(iter(parts.values()))):
        ((name, inner),) = parts.items()
        path, parts = f"{path}{name}.", _children(inner)
    return [f"{path}{name}" for name in parts]


def _children(module: nn.Module) -> dict[str, nn.Module]:
    return {name: child for name, child in module.named_children() if len(list(child.parameters()))}
