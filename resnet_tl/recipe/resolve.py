"""A recipe's tree, checked against the classes it names and filled up with their defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.schema import (
    REQUIRED,
    Factory,
    Field,
    Section,
    factory_of,
    fields_of,
    find_class,
    import_path,
    item_of,
    kinds_of,
    mapping_of,
)
from resnet_tl.recipe.values import as_node, describe, parse, show

Place = tuple[str, ...]

SPEC = ("class_path", "init_args")
"""What names an object."""

OTHER_NAMES = {
    "learning_rate": "lr",
    "epochs": "max_epochs",
    "gpus": "devices",
    "workers": "num_workers",
    "pretrained": "weights",
    "checkpoint": "weights",
    "arch": "name",
    "img_size": "image_size",
    "path": "root",
    "folder": "root",
    "seed": "seed_everything",
}
"""What other tools call a key, where the words are too far apart to look alike."""


def resolve(tree: Node, section: Section) -> dict[str, Any]:
    """The whole recipe as dicts, lists and scalars: every default written out, every class by its full import path.

    Raises RecipeError in one sentence about the first thing that is wrong: file and line (or option), the key, what
    was expected, the nearest right thing.
    """
    return _mapping(tree, section.fields, ())


def options(tree: Node, fields: dict[str, Field], at: Place = ()) -> Iterator[tuple[Place, Field, Node]]:
    """Every value that can be set in this recipe, by its keys, `("data", "init_args", "batch_size")`: field and value.

    A class that the recipe does not name has no keys yet; then it is an option itself.
    """
    said = _said(tree, fields)
    for key, field in fields.items():
        node, here = _over_default(said.get(key), field, tree.where), (*at, key)
        mapping, factory = mapping_of(field.hint), factory_of(field.hint)
        if mapping is not None and isinstance(node.value, dict):
            yield from options(node, fields_of(mapping), here)
        elif factory is not None and isinstance(node.value, dict) and "class_path" in node.value:
            made = _open(node, factory, here)
            yield from options(made.init_args, made.fields, (*here, "init_args"))
        else:
            yield here, field, node


def _mapping(node: Node, fields: dict[str, Field], at: Place) -> dict[str, Any]:
    said = _said(node, fields)
    for key, child in said.items():
        if key not in fields:
            raise RecipeError(_unknown(key, child, node, fields, at))
    resolved = {}
    for key, field in fields.items():
        if key not in said and field.default is REQUIRED:
            name = option_name((*at, key))
            raise RecipeError(f"{name} is missing: add --{name} VALUE or write it in the recipe")
        value = _over_default(said.get(key), field, node.where)
        resolved[key] = _value(value, field.hint, (*at, key))
    return resolved


def _said(node: Node, fields: dict[str, Field]) -> dict[str, Node]:
    """What the recipe says of these, without what it said of another class and this one cannot take."""
    return {key: child for key, child in node.value.items() if not child.left_over or _suits(child, fields.get(key))}


def _suits(node: Node, field: Field | None) -> bool:
    if field is None:
        return False
    try:
        _value(_over_default(node, field, node.where), field.hint, ())
    except RecipeError:
        return False
    return True


def _value(node: Node, hint: Any, at: Place) -> Any:
    mapping, item, factory = mapping_of(hint), item_of(hint), factory_of(hint)
    if mapping is not None and isinstance(node.value, dict):
        return _mapping(node, fields_of(mapping), at)
    if item is not None and isinstance(node.value, list):
        return [_value(child, item, (*at, str(number))) for number, child in enumerate(node.value)]
    if factory is not None and (isinstance(node.value, dict) or _is_class_name(node, hint)):
        made = _open(node, factory, at)
        init_args = _mapping(made.init_args, made.fields, (*at, "init_args"))
        return {"class_path": import_path(made.kind), "init_args": init_args}
    try:
        return parse(node, hint)
    except ValueError:
        raise RecipeError(_wrong_type(node, hint, at)) from None


def _over_default(node: Node | None, field: Field, where: str) -> Node:
    """What a recipe says of a mapping or an object counts upon the default, not instead of it."""
    if node is None:
        return as_node(None if field.default is REQUIRED else field.default, where)
    if field.default is REQUIRED or (mapping_of(field.hint) is None and factory_of(field.hint) is None):
        return node
    return overlay(as_node(field.default, where), node)


class _Opened(NamedTuple):
    """A node of `class_path` and `init_args`: the class, the keys it takes, and what the recipe says of them."""

    kind: Any
    fields: dict[str, Field]
    init_args: Node


def _open(node: Node, factory: Factory, at: Place) -> _Opened:
    """The command may leave `init_args` out of an option's name; a file may not: there it is one way or the other."""
    spec = node.value if isinstance(node.value, dict) else {"class_path": node}
    others = {key: child for key, child in spec.items() if key not in SPEC}
    stray = next(((key, child) for key, child in others.items() if not child.from_command), None)
    if stray and did_you_mean(stray[0], SPEC):
        raise RecipeError(
            f"{stray[1].where}: unknown key {stray[0]!r} under {'.'.join(at)}{did_you_mean(stray[0], SPEC)}"
        )
    kind = _kind(spec.get("class_path"), node, factory, at)
    fields = fields_of(kind, factory.given)
    if stray:
        nearer = "; it belongs under init_args" if stray[0] in fields else ""
        raise RecipeError(f"{stray[1].where}: unknown key {stray[0]!r} under {'.'.join(at)}{nearer}")
    init_args = spec.get("init_args") or Node({}, node.where)
    if init_args.value is None:  # all its lines were taken out
        init_args = Node({}, init_args.where)
    if not isinstance(init_args.value, dict):
        raise RecipeError(f"{init_args.where}: {'.'.join(at)}.init_args must be a mapping, got {show(init_args)}")
    return _Opened(kind, fields, overlay(init_args, Node(others, node.where)))


def _kind(name: Node | None, node: Node, factory: Factory, at: Place) -> Any:
    if name is not None and isinstance(name.value, str):
        try:
            return find_class(name.value, factory.base)
        except RecipeError as error:
            raise RecipeError(f"{_place(name, at)}: {error}") from None
    kinds = [kind.__name__ for kind in kinds_of(factory.base)]
    choices = f": {', '.join(kinds)}" if 0 < len(kinds) < 20 else ""
    raise RecipeError(f"{_place(name or node, at)} needs a class_path, the name of a {factory.base.__name__}{choices}")


def _is_class_name(node: Node, hint: Any) -> bool:
    if not isinstance(node.value, str):
        return False
    try:
        parse(node, hint)
    except ValueError:
        return True
    return False


def _unknown(key: str, child: Node, node: Node, fields: dict[str, Field], at: Place) -> str:
    meant = _nearest(key, node, fields, at)
    if child.from_command:
        return f"{child.where}: unknown option" + (f"; did you mean --{option_name(meant)}?" if meant else "")
    under = f" under {'.'.join(at)}" if at else ""
    if meant and len(meant) > len(at) + 1:
        return f"{child.where}: unknown key {key!r}{under}; did you mean {'.'.join(meant[len(at) :])!r}?"
    return f"{child.where}: unknown key {key!r}{under}" + (f"; did you mean {meant[-1]!r}?" if meant else "")


def _nearest(key: str, node: Node, fields: dict[str, Field], at: Place) -> Place | None:
    """Where the key, or what it is called here, can stand: beside, further in, or else what beside looks like it."""
    for name in (OTHER_NAMES.get(key), key):
        if name in fields:
            return (*at, name)
        further_in = [place for place, *_ in options(node, fields, at) if place[-1] == name]
        if further_in:
            return further_in[0]
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
    return (*at, near[0]) if near else None


def _wrong_type(node: Node, hint: Any, at: Place) -> str:
    return f"{_place(node, at)} must be {describe(hint)}, got {show(node)}{_repair(node, hint)}"


def _repair(node: Node, hint: Any) -> str:
    quotable = isinstance(node.value, (int, float)) and "str" in describe(hint).split(" or ")
    if quotable and not node.from_command:
        return " (put it in quotes)"
    return did_you_mean(node.value, describe(hint).split("'")[1::2]) if isinstance(node.value, str) else ""


def _place(node: Node, at: Place) -> str:
    """Where it was written and which key it is; an option that is the key needs no second name."""
    return node.where if node.where == f"--{option_name(at)}" else f"{node.where}: {'.'.join(at)}"


def option_name(at: Place) -> str:
    """How the command calls a key: without the `init_args` in between."""
    return ".".join(part for part in at if part != "init_args")
