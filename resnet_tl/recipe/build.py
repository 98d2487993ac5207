"""Objects from resolved recipes and from the recipes inside checkpoints."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from resnet_tl.errors import UserError
from resnet_tl.ranges import arms, parts
from resnet_tl.recipe.schema import factory_of, fields_of, find_class, import_object, item_of, mapping_of


def instantiate(hint: Any, value: Any) -> Any:
    """What a resolved `value` means under a type.

    `{class_path, init_args}` becomes an object, or under `Callable[[...], X]` something that builds one when called;
    a dict under a dataclass becomes one; anything else is itself.
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
    if isinstance(value, list):
        return tuple(value) if any(typing.get_origin(parts(arm)[0]) is tuple for arm in arms(hint)) else list(value)
    return value


def instantiate_model(init_args: Mapping[str, Any], *, trust_code: bool = False) -> dict[str, Any]:
    """The arguments `backbone`, `neck`, `head` of `models.network.build` from a recipe's `model.init_args`; `neck` and
    `head` are callables that take levels (and classes).

    trust_code: without it, a class outside `resnet_tl` is a UserError and is not imported.
    """
    from resnet_tl.models.network import build

    foreign = None if trust_code else foreign_code(init_args)
    if foreign is not None:
        raise UserError(
            f"this needs {foreign!r}, which is not part of resnet_tl: add --trust-code if you trust that code"
        )
    fields = fields_of(build)
    return {name: instantiate(fields[name].hint, init_args.get(name)) for name in ("backbone", "neck", "head")}


def foreign_code(recipe: Any) -> str | None:
    """The first import path in a recipe, or in a part of one, that leads to anything but a class of `resnet_tl`.

    For recipes inside checkpoints: somebody else may have written them. What is not ours is not imported here.
    """
    for path in _imported(recipe):
        ours = path.startswith("resnet_tl.") and import_object(path)
        if not (inspect.isclass(ours) and ours.__module__.startswith("resnet_tl.")):
            return path
    return None


def _imported(value: Any) -> Iterator[str]:
    """Every import path in it: of a `class_path`, and of a trunk of one's own at `backbone.name`."""
    if isinstance(value, list):
        for item in value:
            yield from _imported(item)
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if key == "class_path" and "." in child:
                yield child
            elif key == "backbone" and isinstance(child, Mapping) and "." in child.get("name", ""):
                yield child["name"]
            yield from _imported(child)


def _arguments(fields: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: instantiate(fields[name].hint, value) for name, value in values.items()}
