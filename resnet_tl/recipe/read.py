"""Recipes as trees whose every value knows where it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.shipped import shipped_root


@dataclass(frozen=True)
class Node:
    """A value of a recipe.

    value: a dict of nodes, a list of nodes, or a scalar.
    where: `photos.yaml:7`, or the option it was given by: `--data.batch_size`.
    text: what was typed after an option; its type decides how it is read (`2024` is a fine name of a folder).
    left_over: it belonged to a class that a later layer replaced, and counts only if the new class can take it.
    """

    value: Any
    where: str
    text: str | None = None
    left_over: bool = False

    @property
    def from_command(self) -> bool:
        return self.where.startswith("--")


def read(path: Path, label: str | None = None) -> Node:
    """The tree of a recipe file. `label` is what messages call it (the path by default).

    Raises RecipeError with file and line for what is not YAML, a key that stands twice, a recipe that is no mapping.
    """
    label = label or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{label}: not a recipe: a recipe is YAML, text in UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{label}: cannot be read: {error.strerror}") from None
    tree = _parse(text, label)
    if tree.value is None:
        return Node({}, label)
    if not isinstance(tree.value, dict):
        raise RecipeError(f"{label}: not a recipe: expected keys such as `model:` and `data:`, got {_brief(tree)}")
    return tree


def override(key: str, text: str) -> Node:
    """The tree of one option: `--data.root photos` is `{data: {root: photos}}`."""
    where = f"--{key}"
    try:
        value = _parse(text, where).value
    except RecipeError:
        value = text
    node = Node(value, where, text=None if value is None else text)
    for part in reversed(key.split(".")):
        node = Node({part: node}, where)
    return node


def lay(under: Node, over: Node) -> Node:
    """`over` upon `under`: mappings are merged key by key, anything else is replaced.

    Where `over` names another class, the options of the old one stay as far as the new one can take them.
    """
    if (
        isinstance(under.value, str)
        and isinstance(over.value, dict)
        and (over.from_command or "init_args" in over.value)
    ):
        under = Node({"class_path": under}, under.where)  # `head: MLPHead` below, its options above
    if not isinstance(under.value, dict):
        return over
    named = isinstance(over.value, str) and "class_path" in under.value
    new = {"class_path": over} if named else over.value
    if not isinstance(new, dict):
        return over
    merged = dict(under.value)
    if "class_path" in new and "class_path" in merged and new["class_path"].value != merged["class_path"].value:
        merged = {key: _left_over(node) if key == "init_args" else node for key, node in merged.items()}
    for key, node in new.items():
        merged[key] = lay(merged[key], node) if key in merged else node
    return Node(merged, under.where if over.from_command else over.where)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def write(resolved: dict[str, Any], path: Path) -> None:
    """Write a resolved recipe to a new file, so that `read` gives the same values back."""
    with open(path, "x", encoding="utf-8") as file:
        yaml.dump(resolved, file, _Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def _left_over(init_args: Node) -> Node:
    if not isinstance(init_args.value, dict):
        return init_args
    return Node({key: replace(node, left_over=True) for key, node in init_args.value.items()}, init_args.where)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of scalars: `1e-4` is a number; `off`, `no`, `1:30` and `2024-01-01` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way


class _Dumper(yaml.SafeDumper):
    """Quotes what would be more than text to readers of YAML 1.1 or to ours."""


_POWER = r"[eE][-+]?[0-9]+"
_DECIMAL = rf"(\.[0-9]+|[0-9]+\.[0-9]*)({_POWER})?"
_NUMBER_STARTS = list("-+.0123456789")
for _tag, _pattern, _starts in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", _NUMBER_STARTS),
    (
        "float",
        rf"[-+]?({_DECIMAL}|[0-9]+{_POWER})|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        _NUMBER_STARTS,
    ),
    ("merge", r"<<", ["<"]),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), _starts)


def _parse(text: str, label: str) -> Node:
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return Node(None, label) if root is None else _node(root, loader, label)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{label}{line}: not valid YAML: {error.problem}{_repair(error)}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{label}: not valid YAML: {' '.join(str(error).split())}") from None


def _repair(error: yaml.MarkedYAMLError) -> str:
    return " (indent with spaces)" if "'\\t'" in str(error.problem) else ""


def _node(node: yaml.Node, loader: _Loader, label: str) -> Node:
    where = label if label.startswith("--") else f"{label}:{node.start_mark.line + 1}"
    if node.tag not in loader.yaml_constructors:
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag {node.tag!r}", node.start_mark)
    if isinstance(node, yaml.MappingNode):
        _refuse_double_keys(node, label)
        loader.flatten_mapping(node)
        children = {}
        for key, value in node.value:
            child = _node(value, loader, label)
            line = f"{label}:{key.start_mark.line + 1}"
            children[key.value] = child if label.startswith("--") else replace(child, where=line)
        return Node(children, where)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(item, loader, label) for item in node.value], where)
    value = loader.construct_object(node)
    return Node(value.replace("${shipped}", str(shipped_root())) if isinstance(value, str) else value, where)


def _refuse_double_keys(mapping: yaml.MappingNode, label: str) -> None:
    first: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise RecipeError(f"{label}:{line}: not a recipe: a key must be a word, not a list or mapping")
        if key.value in first:
            raise RecipeError(f"{label}:{line}: key {key.value!r} stands twice, first on line {first[key.value]}")
        first[key.value] = line


def _brief(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else repr(node.value)[:60]
