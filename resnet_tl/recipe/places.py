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
    """The node at a place, or the nearest one above it. Options may leave `init_args` out."""
    node = tree
    for key in at:
        inner = node.value
        if isinstance(inner, list) and key.isdecimal() and int(key) < len(inner):
            node = inner[int(key)]
        elif isinstance(inner, dict) and key in inner:
            node = inner[key]
        elif key != "init_args":
            return node
    return node
