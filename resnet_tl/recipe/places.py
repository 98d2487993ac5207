"""How messages and options call the keys of a recipe."""

from __future__ import annotations

from resnet_tl.recipe.node import Node

Place = tuple[str, ...]
"""The keys that lead to a value: `("data", "init_args", "batch_size")`."""


def option_name(at: Place) -> str:
    """How the command calls a key: without the `init_args` in between."""
    return ".".join(part for part in at if part != "init_args")


def in_words(node: Node, at: Place) -> str:
    """Where a value was written and which key it is; an option that is the key needs no second name."""
    return node.where if node.where == f"--{option_name(at)}" else f"{node.where}: {'.'.join(at)}"


def deepest(tree: Node, at: Place) -> Node:
    """The node at a place, or the nearest one above it. Options omit `init_args` and override the values of files."""
    in_file, found = _follow(tree, at)
    by_option, reached = _follow(tree, tuple(key for key in at if key != "init_args"))
    return by_option if reached > found or (reached == found and by_option.from_command) else in_file


def _follow(tree: Node, at: Place) -> tuple[Node, int]:
    """The node that the keys lead to as far as they exist, and how many do, `init_args` not counted."""
    node, found = tree, 0
    for key in at:
        inner = node.value
        if isinstance(inner, list) and key.isdecimal() and int(key) < len(inner):
            node = inner[int(key)]
        elif isinstance(inner, dict) and key in inner:
            node = inner[key]
        elif key != "init_args":
            break
        found += key != "init_args"
    return node, found
