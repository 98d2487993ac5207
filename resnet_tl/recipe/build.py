"""Objects from resolved recipes and from the recipes inside checkpoints."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from resnet_tl.errors import UserError
from resnet_tl.imports import is_import_path
from resnet_tl.ranges import arms, parts
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.schema import (
    Field,
    Section,
    factory_of,
    fields_of,
    find_class,
    import_object,
    item_of,
    mapping_of,
)
from resnet_tl.recipe.values import as_node

KNOWN = ("resnet_tl.", "torch.optim.", "lightning.pytorch.callbacks.", "albumentations.")
"""Packages whose classes a checkpoint or a run folder may name: this one's, optimizers and schedules, callbacks,
transforms."""
TEXT = frozenset([
    "root", "csv", "data", "annotations", "images", "masks", "class_file", "classes", "cache_dir", "exclude", "group",
    "replay", "weights", "path_column", "label_column", "value_columns", "split_column", "columns", "train", "val",
    "test", "monitor", "precision", "project", "entity", "tags", "unlabelled", "network", "file", "level",
    "teacher_level",
])  # fmt: skip
"""Keys whose values are names of files, networks, columns, classes or metrics, and are never imported."""


def instantiate(hint: Any, value: Any) -> Any:
    """What a resolved `value` means under a type.

    `{class_path, init_args}` becomes an object, or under `Callable[[...], X]` something that builds one when called;
    a dict under a dataclass becomes one, a number of seconds a timedelta; anything else is itself.
    """
    mapping, item, factory = mapping_of(hint), item_of(hint), factory_of(hint)
    if isinstance(value, Mapping) and mapping is not None:
        return mapping(**_arguments(fields_of(mapping), value))
    if isinstance(value, list) and item is not None:
        return [instantiate(item, child) for child in value]
    if isinstance(value, Mapping) and factory is not None:
        kind = find_class(value["class_path"], factory.base)
        arguments = _arguments(fields_of(kind, factory.given), value.get("init_args", {}))
        return functools.partial(kind, **arguments) if factory.late else kind(**arguments)
    if isinstance(value, float) and timedelta in arms(hint):
        return timedelta(seconds=value)
    if isinstance(value, list):
        return tuple(value) if any(typing.get_origin(parts(arm)[0]) is tuple for arm in arms(hint)) else list(value)
    return value


def instantiate_model(
    init_args: Mapping[str, Any], *, where: str = "the recipe", trust_code: bool = False
) -> dict[str, Any]:
    """The arguments `backbone`, `neck`, `head` of `models.network.build` from a recipe's `model.init_args`, which is
    checked first; `neck` and `head` are callables that take levels (and classes).

    Args:
        where: what messages begin with.
        trust_code: without it, a class outside `resnet_tl` is a UserError and is not imported.

    Raises:
        RecipeError: an unknown key, or a value of the wrong type or range.
    """
    from resnet_tl.models.network import build

    foreign = None if trust_code else foreign_code(init_args)
    if foreign is not None:
        raise UserError(
            f"this needs {foreign!r}, which is not part of resnet_tl: add --trust-code if you trust that code"
        )
    fields = {name: field for name, field in fields_of(build).items() if name != "classes"}
    return instantiate_unchecked(fields, {"neck": None, **init_args}, where)


def instantiate_unchecked(fields: Mapping[str, Field], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What those of the `values` mean that have a field, after checking them as a recipe's: where is the file's name.

    Raises RecipeError: an unknown key in one of them, or a value of the wrong type or range.
    """
    given = {name: values[name] for name in fields if name in values}
    resolved = resolve(as_node(given, where), Section(dict(fields)))
    return {name: instantiate(field.hint, resolved[name]) for name, field in fields.items()}


def foreign_code(recipe: Any) -> str | None:
    """Returns the first import path in a recipe, or in a part of one, that leads to anything but a class of `KNOWN`.

    For recipes in checkpoints and run folders, which someone else may have written. Other code is not imported here.
    """
    return next(foreign_paths(recipe), None)


def foreign_paths(recipe: Any) -> Iterator[str]:
    """Yields every such import path."""
    for path in _imported(recipe):
        known = path.startswith(KNOWN) and import_object(path)
        if not (inspect.isclass(known) and known.__module__.startswith(KNOWN)):
            yield path


def _imported(value: Any, key: str = "") -> Iterator[str]:
    """Yields every string that may be imported: what looks like an import path, under any key but those of `TEXT`."""
    if isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _imported(item, key)
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _imported(child, str(name))
    elif isinstance(value, str) and key not in TEXT and is_import_path(value):
        yield value


def _arguments(fields: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: instantiate(fields[name].hint, value) for name, value in values.items()}
