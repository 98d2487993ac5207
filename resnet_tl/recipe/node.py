"""Recipes as trees whose every value knows where it was written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from resnet_tl.errors import RecipeError


@dataclass(frozen=True)
class Node:
    """A value of a recipe.

    value: a dict of nodes, a list of nodes, or a scalar.
    where: `photos.yaml:7`, or the option that set it: `--data.batch_size`.
    text: what was typed after an option; the key's type decides how it is read (`2024` is a fine name of a folder).
    replaced: it was set for the class of this name, which a later layer replaced by another.
    """

    value: Any
    where: str
    text: str | None = None
    replaced: str | None = None

    @property
    def left_over(self) -> bool:
        """Whether it was set for a class that was replaced; it counts only if the new class takes it."""
        return self.replaced is not None

    @property
    def from_command(self) -> bool:
        return self.where.startswith("--")


def overlay(under: Node, over: Node) -> Node:
    """`over` on top of `under`: mappings are merged key by key, anything else is replaced.

    Where `over` names another class, the options of the old one stay as far as the new one takes them. An option may
    name an item of a list by its number: `--model.tuning.phases.0.epochs 2`.
    """
    if isinstance(under.value, list) and over.from_command and isinstance(over.value, dict):
        return _with_items(under, over)
    if (
        isinstance(under.value, str)
        and isinstance(over.value, dict)
        and (over.from_command or "init_args" in over.value)
    ):
        under = Node({"class_path": under}, under.where)  # `head: MLPHead` below, its options above
    if not isinstance(under.value, dict):
        return over
    # Options of a class may come before the option that names it.
    options = any(node.from_command for node in under.value.values())
    named = isinstance(over.value, str) and ("class_path" in under.value or "init_args" in under.value or options)
    new = {"class_path": over} if named else over.value
    if not isinstance(new, dict):
        return over
    merged = dict(under.value)
    if "class_path" in new and "class_path" in merged and new["class_path"].value != merged["class_path"].value:
        old = str(merged["class_path"].value)
        merged = {key: _left_over(node, old) if key == "init_args" else node for key, node in merged.items()}
    for key, node in new.items():
        merged[key] = overlay(merged[key], node) if key in merged else node
    return Node(merged, under.where if over.from_command else over.where)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def _with_items(under: Node, over: Node) -> Node:
    """The list with the items that an option changes; the option itself, a fault, where it names something else.

    Raises RecipeError: there is no item of this number.
    """
    numbers = [int(key) for key in over.value if key.isdecimal()]
    if numbers and max(numbers) >= len(under.value):
        expected = ", ".join(map(str, range(len(under.value))))
        raise RecipeError(f"{over.where}: no item {max(numbers)} in this list; expected one of {expected}")
    items = {int(key): node for key, node in over.value.items() if key.isdecimal() and int(key) < len(under.value)}
    if len(items) < len(over.value):
        return over
    return Node([overlay(item, items[n]) if n in items else item for n, item in enumerate(under.value)], under.where)


def _left_over(init_args: Node, kind: str) -> Node:
    if not isinstance(init_args.value, dict):
        return init_args
    return Node({key: replace(node, replaced=kind) for key, node in init_args.value.items()}, init_args.where)
