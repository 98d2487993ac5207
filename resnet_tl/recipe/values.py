"""Single values of a recipe: text and YAML to what a type wants, defaults back to what a recipe would say."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from resnet_tl.recipe.node import Node, plain
from resnet_tl.recipe.schema import arms, factory_of, fields_of, import_path, mapping_of


def parse(node: Node, hint: Any) -> Any:
    """The value as its type reads it: `"1e-4"` as a float, `[1, 2]` typed after an option as a list.

    jsonargparse judges. Raises a bare ValueError, because its words are for programmers.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    accepted = tuple(arm for arm in arms(hint) if factory_of(arm) is None and mapping_of(arm) is None)
    if node.value is None and {type(None), Any} & set(accepted):
        return None
    if node.value is None or not accepted:
        raise ValueError
    parser = ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_argument("--value", type=typing.Union[accepted])  # noqa: UP007 (built at run time)
    try:
        if node.text is not None:
            return as_plain(parser.parse_args([f"--value={node.text}"]).value)
        return as_plain(parser.parse_object({"value": plain(node)}).value)
    except ArgumentError:
        raise ValueError from None


def describe(hint: Any) -> str:
    """A type in a user's words: `int`, `one of 'avg', 'max'`, `a list of int or null`."""
    words = [_describe_arm(arm) for arm in sorted(arms(hint), key=lambda arm: arm is type(None))]
    return " or ".join(dict.fromkeys(words))


def show(node: Node) -> str:
    """A value in a message: short, on one line."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    text = {None: "null", True: "true", False: "false"}.get(node.value, repr(node.value))
    return text if len(text) <= 80 else text[:77] + "..."


def as_plain(value: Any) -> Any:
    """A value, or a default of a signature, as a recipe would write it: dicts, lists, scalars, `class_path`."""
    if isinstance(value, functools.partial):
        return {"class_path": import_path(value.func), "init_args": as_plain(value.keywords)}
    if inspect.isclass(value) or inspect.isfunction(value):
        return {"class_path": import_path(value)}
    if dataclasses.is_dataclass(value):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, dict):
        return {key: as_plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def as_node(default: Any, where: str) -> Node:
    """The tree of a default."""

    def tree(value: Any) -> Node:
        if isinstance(value, dict):
            return Node({key: tree(child) for key, child in value.items()}, where)
        return Node([tree(child) for child in value] if isinstance(value, list) else value, where)

    return tree(as_plain(default))


def _describe_arm(arm: Any) -> str:
    origin, arguments = typing.get_origin(arm), typing.get_args(arm)
    factory, mapping = factory_of(arm), mapping_of(arm)
    if factory is not None:
        return f"the class_path of a {factory.base.__name__}"
    if mapping is not None:
        keys = list(fields_of(mapping))
        return f"a mapping of {', '.join(keys[:6])}" + (", ..." if len(keys) > 6 else "")
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, arguments))}" if len(arguments) > 1 else repr(arguments[0])
    if origin in (list, tuple, set, Sequence):
        return f"a list of {describe(arguments[0])}"
    named = {type(None): "null", bool: "true or false", list: "a list", tuple: "a list", Any: "anything"}
    return "a mapping" if dict in (arm, origin) else named.get(arm, getattr(arm, "__name__", str(arm)))
