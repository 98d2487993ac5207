"""Values of a recipe: in a message, and defaults of signatures as a recipe would write them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from resnet_tl.recipe.node import Node, plain
from resnet_tl.recipe.schema import import_path


def show(node: Node) -> str:
    """A value in a message: short, on one line."""
    if isinstance(node.value, dict):
        return "a mapping"
    if node.value is None or isinstance(node.value, bool):
        return {None: "null", True: "true", False: "false"}[node.value]
    text = repr(plain(node))
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
    if isinstance(value, timedelta):
        return value.total_seconds()
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
