"""A recipe's tree, checked against the classes it names and filled up with their defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.imports import a
from resnet_tl.ranges import choices
from resnet_tl.recipe.faults import raise_if_any
from resnet_tl.recipe.hints import describe, parse
from resnet_tl.recipe.moved import ADDED, VALUES
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.places import Place, in_words, option_name
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
    mapping_of,
    names_of,
)
from resnet_tl.recipe.values import as_node, show

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

CLASS_COUNTS = ("num_classes", "n_classes", "num_labels", "nc")
"""What other tools call the number of classes, which is no key here."""


def resolve(tree: Node, section: Section) -> dict[str, Any]:
    """The whole recipe as dicts, lists and scalars: every default written out, every class by its full import path.

    Raises RecipeError: a sentence for each thing that is wrong, with file and line (or option), the key, what was
    expected, the nearest right thing.
    """
    resolved, faults = examine(tree, section)
    raise_if_any(faults)
    return resolved


def examine(tree: Node, section: Section) -> tuple[dict[str, Any], list[str]]:
    """The sections in which nothing is wrong, and every fault of the others."""
    resolver = _Resolver()
    resolved = resolver.mapping(tree, section.fields, ())
    return {key: value for key, value in resolved.items() if value is not _WRONG}, resolver.faults


def part(tree: Node, section: Section, at: Place) -> Any:
    """Returns the resolved value at a place, whatever is wrong elsewhere: None if it is wrong itself, and of a mapping
    the keys that are right.

    Raises KeyError if there is no such place in this recipe.
    """
    resolver, node, fields, hint = _Resolver(), tree, section.fields, None
    for index, key in enumerate(at):
        if key == "init_args":
            continue
        if isinstance(node.value, list):
            node, hint = node.value[int(key)], item_of(hint)
        else:
            field = fields[key]
            node, hint = _over_default(_given(node, fields).get(key), field, node.where), field.hint
        factory, mapping = factory_of(hint), mapping_of(hint)
        if factory is not None and "init_args" in at[index + 1 : index + 2]:
            opened = resolver.open(node, factory, at[: index + 1])
            if opened is None:
                return None
            node, fields = opened.init_args, opened.fields
        elif mapping is not None and isinstance(node.value, dict):
            fields = fields_of(mapping)
        elif index < len(at) - 1 and not isinstance(node.value, list):
            raise KeyError(key)
    mapping = mapping_of(hint)
    if mapping is not None and isinstance(node.value, dict):
        return {key: value for key, value in resolver.mapping(node, fields, at).items() if value is not _WRONG}
    value = resolver.value(node, hint, at)
    return None if resolver.faults else value


def options(tree: Node, fields: dict[str, Field], at: Place = ()) -> Iterator[tuple[Place, Field, Node]]:
    """Every value that can be set in this recipe, by its keys, `("data", "init_args", "batch_size")`: field and value.

    A class that the recipe does not name, or that cannot be found, has no keys; then it is an option itself.
    """
    given = _given(tree, fields)
    for key, field in fields.items():
        node, here = _over_default(given.get(key), field, tree.where), (*at, key)
        mapping, factory = mapping_of(field.hint), factory_of(field.hint)
        opened = None
        if factory is not None and isinstance(node.value, dict) and "class_path" in node.value:
            opened = _Resolver().open(node, factory, here)
        if mapping is not None and isinstance(node.value, dict):
            yield from options(node, fields_of(mapping), here)
        elif opened is not None:
            yield from options(opened.init_args, opened.fields, (*here, "init_args"))
        else:
            yield here, field, node


class _Opened(NamedTuple):
    """A node of `class_path` and `init_args`: the class, the keys it takes, and what the recipe sets of them."""

    kind: Any
    fields: dict[str, Field]
    init_args: Node


_WRONG: Any = object()
"""In place of a value in which something is wrong."""


class _Resolver:
    """Resolves as much as possible, and collects the faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def mapping(self, node: Node, fields: dict[str, Field], at: Place) -> dict[str, Any]:
        given = _given(node, fields)
        meant: set[str] = set()
        for key, child in given.items():
            if key not in fields:
                nearest = _nearest(key, child, node, fields, at)
                meant |= {nearest[-1]} if nearest else set()
                self.faults.append(_unknown(key, child, nearest, at))
        resolved = {}
        for key, field in fields.items():
            if field.default is REQUIRED and (key in meant or key not in given):
                resolved[key] = _WRONG
                if key not in meant:  # its other spelling is a fault already
                    name = option_name((*at, key))
                    self.faults.append(f"{name} is missing: add --{name} VALUE or write it in the recipe")
                continue
            value = _over_default(given.get(key), field, node.where)
            resolved[key] = self.value(value, field.hint, (*at, key))
        return resolved

    def value(self, node: Node, hint: Any, at: Place) -> Any:
        mapping, item, factory = mapping_of(hint), item_of(hint), factory_of(hint)
        if isinstance(node.value, bool):
            node = replace(node, value=VALUES.get(at[-2:], {}).get(node.value, node.value))
        if mapping is not None and isinstance(node.value, dict):
            return self.whole(self.mapping(node, fields_of(mapping), at))
        if item is not None and isinstance(node.value, list):
            return self.whole([self.value(child, item, (*at, str(n))) for n, child in enumerate(node.value)])
        if factory is not None and (isinstance(node.value, dict) or _is_class_name(node, hint)):
            opened = self.open(node, factory, at)
            if opened is None:
                return _WRONG
            init_args = self.mapping(opened.init_args, opened.fields, (*at, "init_args"))
            return self.whole({"class_path": import_path(opened.kind), "init_args": self.whole(init_args)})
        try:
            return parse(node, hint)
        except ValueError:
            self.faults.append(_wrong_type(node, hint, at))
            return _WRONG

    def whole(self, value: Any) -> Any:
        """The value, unless a part of it is wrong."""
        inside = value.values() if isinstance(value, dict) else value
        return _WRONG if any(part is _WRONG for part in inside) else value

    def open(self, node: Node, factory: Factory, at: Place) -> _Opened | None:
        """Returns an object's class and what is set of it, or None and a fault where that is unknown.

        The command may leave `init_args` out of an option's name; in a file that is a fault, and ends the search here.
        """
        spec = node.value if isinstance(node.value, dict) else {"class_path": node}
        others = {key: child for key, child in spec.items() if key not in SPEC}
        strays = {key: child for key, child in others.items() if not child.from_command}
        misspelt = any(did_you_mean(key, SPEC) for key in strays)
        opened = None if misspelt else self.opened(node, spec, factory, at)
        for key, child in strays.items():
            inside = "; it belongs under init_args" if opened and key in opened.fields else ""
            repair = did_you_mean(key, SPEC) or inside
            self.faults.append(f"{child.where}: unknown key {key!r} under {'.'.join(at)}{repair}")
        if opened is None or strays:
            return None
        return opened._replace(init_args=overlay(opened.init_args, Node(others, node.where)))

    def opened(self, node: Node, spec: dict[str, Node], factory: Factory, at: Place) -> _Opened | None:
        name = spec.get("class_path")
        try:
            if name is None or not isinstance(name.value, str):
                raise RecipeError(_needs_class(factory))
            kind = find_class(name.value, factory.base, factory.given)
            fields = fields_of(kind, factory.given)
        except RecipeError as error:
            colon = " " if str(error).startswith("needs") else ": "
            self.faults.append(f"{in_words(name or node, at)}{colon}{error}")
            return None
        init_args = spec.get("init_args") or Node({}, node.where)
        if init_args.value is None:  # all its lines were taken out
            init_args = Node({}, init_args.where)
        if not isinstance(init_args.value, dict):
            place = ".".join((*at, "init_args"))
            self.faults.append(f"{init_args.where}: {place} must be a mapping, got {show(init_args)}")
            return None
        if "." in name.value:
            init_args = overlay(as_node(_added_since(kind), node.where), init_args)
        return _Opened(kind, fields, init_args)


def _added_since(kind: Any) -> dict[str, Any]:
    """What the options that a saved recipe of this class may lack would have been."""
    bases = getattr(kind, "__mro__", ())
    return {key: value for base in bases for key, value in ADDED.get(import_path(base), {}).items()}


def _given(node: Node, fields: dict[str, Field]) -> dict[str, Node]:
    """What the recipe sets of these, without what it set of another class and this one does not take."""
    return {key: child for key, child in node.value.items() if not child.left_over or _suits(child, fields.get(key))}


def _suits(node: Node, field: Field | None) -> bool:
    if field is None:
        return False
    resolver = _Resolver()
    resolver.value(_over_default(node, field, node.where), field.hint, ())
    return not resolver.faults


def _over_default(node: Node | None, field: Field, where: str) -> Node:
    """What a recipe sets of a mapping or an object counts on top of the default, not instead of it."""
    if node is None:
        return as_node(None if field.default is REQUIRED else field.default, where)
    if field.default is REQUIRED or (mapping_of(field.hint) is None and factory_of(field.hint) is None):
        return node
    return overlay(as_node(field.default, where), node)


def _needs_class(factory: Factory) -> str:
    names = names_of(factory.base, factory.given)
    known = f": {', '.join(names)}" if 0 < len(names) < 20 else ""
    return f"needs a class_path, the name of {a(factory.base.__name__)}{known}"


def _is_class_name(node: Node, hint: Any) -> bool:
    if not isinstance(node.value, str):
        return False
    try:
        parse(node, hint)
    except ValueError:
        return True
    return False


def _unknown(key: str, child: Node, meant: Place | None, at: Place) -> str:
    if key in CLASS_COUNTS:
        return f"{child.where}: {key} cannot be set; how many classes there are follows from the data"
    if child.from_command:
        return f"{child.where}: unknown option" + (f"; did you mean --{option_name(meant)}?" if meant else "")
    under = f" under {'.'.join(at)}" if at else ""
    if meant and len(meant) > len(at) + 1:
        return f"{child.where}: unknown key {key!r}{under}; did you mean {'.'.join(meant[len(at) :])!r}?"
    return f"{child.where}: unknown key {key!r}{under}" + (f"; did you mean {meant[-1]!r}?" if meant else "")


def _nearest(key: str, child: Node, node: Node, fields: dict[str, Field], at: Place) -> Place | None:
    """Returns where the key, or its name here, belongs: next to it or further in; else the most similar key."""
    for name in filter(None, (OTHER_NAMES.get(key), key)):
        if name in fields:
            return (*at, name)
        ends = f".{name}", ".".join(("", name, *_only_keys(child)))
        further_in = [place for place, *_ in options(node, fields, at) if f".{option_name(place)}".endswith(ends)]
        if further_in:
            return further_in[0]
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
    return (*at, near[0]) if near else None


def _only_keys(node: Node) -> Place:
    """The keys of mappings of one key each, as an option has: `a.b`."""
    if not isinstance(node.value, dict) or len(node.value) != 1:
        return ()
    ((key, child),) = node.value.items()
    return (key, *_only_keys(child))


def _wrong_type(node: Node, hint: Any, at: Place) -> str:
    return f"{in_words(node, at)} must be {describe(hint)}, got {show(node)}{_repair(node, hint)}"


def _repair(node: Node, hint: Any) -> str:
    quotable = isinstance(node.value, (int, float)) and "str" in describe(hint).split(" or ")
    if quotable and not node.from_command:
        return " (put it in quotes)"
    return did_you_mean(node.value, choices(hint)) if isinstance(node.value, str) else ""
