"""Recipe files and options of the command line as trees, and resolved recipes back to files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.parse import MAX_CHARACTERS, MAX_DEPTH, SCALARS, BoundsError, parse


def read(path: Path, label: str | None = None, duplicates: list[str] | None = None) -> Node:
    """The tree of a recipe file. Messages call it `label`, by default its path.

    Raises RecipeError with file and line for what is not YAML and for a recipe that is not a mapping. A duplicate key
    adds a sentence to `duplicates` if given, and otherwise raises too.
    """
    label = label or str(path)
    found: list[str] = []
    tree = parse(_text(path, label), label, found)
    if duplicates is not None:
        duplicates += found
    elif found:
        raise RecipeError(found[0])
    if tree.value is None:
        return Node({}, label)
    if not isinstance(tree.value, dict):
        raise RecipeError(f"{label}: not a recipe: expected keys such as `model:` and `data:`, got {_brief(tree)}")
    return tree


def override(key: str, text: str) -> Node:
    """The tree of one option: `--data.root photos` is `{data: {root: photos}}`.

    Raises BoundsError for a value beyond the limits; a value that is not YAML is text.
    """
    where = f"--{key}"
    parts = key.split(".")
    if len(parts) > MAX_DEPTH:
        raise RecipeError(f"{where[:60]}...: unknown option")
    if any("\ud800" <= character <= "\udfff" for character in text):  # bytes of the shell that are not UTF-8
        raise RecipeError(f"{where}: not text in UTF-8")
    duplicates: list[str] = []
    try:
        value = parse(text, where, duplicates).value
    except BoundsError:
        raise
    except RecipeError:
        value = text
    if duplicates:
        raise RecipeError(duplicates[0])
    node = Node(value, where, text=None if value is None else text)
    for part in reversed(parts):
        node = Node({part: node}, where)
    return node


def write(resolved: dict[str, Any], path: Path) -> None:
    """Write a resolved recipe to a new file, so that `read` gives the same values back."""
    with open(path, "x", encoding="utf-8") as file:
        file.write(as_text(resolved))


def as_text(resolved: dict[str, Any]) -> str:
    """A resolved recipe, or a part of one, as a file holds it."""
    text: str = yaml.dump(
        resolved, None, _Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or our own reader would take for something else."""


for _name, (_pattern, _starts) in SCALARS.items():
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^({_pattern})$"), _starts)


def _text(path: Path, label: str) -> str:
    """At most a little more than `parse` takes, from a file that may never end."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError:
        raise RecipeError(f"{label}: not a recipe: a recipe is YAML, text in UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{label}: cannot be read: {error.strerror}") from None


def _brief(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else repr(node.value)[:60]
