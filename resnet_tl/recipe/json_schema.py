"""A JSON Schema (draft 2020-12) of recipes, from the same types that check them: for editors."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

from resnet_tl.ranges import arms, parts
from resnet_tl.recipe.docstrings import arguments, summary
from resnet_tl.recipe.moved import MOVED
from resnet_tl.recipe.reference import kinds_in_reference
from resnet_tl.recipe.schema import (
    REQUIRED,
    Factory,
    Field,
    Section,
    factory_of,
    fields_of,
    import_path,
    kinds_of,
    mapping_of,
)
from resnet_tl.recipe.values import as_plain

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
OTHERS = r"^(?!resnet_tl\.)[^\s.]+(\.[^\s.]+)+$"
"""Import paths of classes outside this package, of which a schema cannot know more."""

_KEYWORDS = {Ge: "minimum", Gt: "exclusiveMinimum", Le: "maximum", Lt: "exclusiveMaximum", MultipleOf: "multipleOf"}
_PLAIN: dict[Any, Schema] = {
    type(None): {"type": "null"}, bool: {"type": "boolean"}, int: {"type": "integer"}, float: {"type": "number"},
    str: {"type": "string"}, list: {"type": "array"}, tuple: {"type": "array"}, dict: {"type": "object"},
    timedelta: {"type": "number"},
}  # fmt: skip


def json_schema(section: Section) -> Schema:
    """The schema of recipes and overlays of these sections: no key is required, because an overlay has few of them, and
    options of the command line can add the rest."""
    writer = _Writer()
    root = writer.mapping(section)
    return {
        "$schema": DRAFT,
        "title": "A recipe of resnet_tl",
        **root,
        "$defs": dict(sorted(writer.definitions.items())),
    }


class _Writer:
    """Writes types; what has a name is written once, in `definitions`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, hint: Any) -> Schema:
        schemas = [self.arm(arm) for arm in arms(hint)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def arm(self, arm: Any) -> Schema:
        bare, limits = parts(arm)
        origin, arguments = typing.get_origin(bare), typing.get_args(bare)
        mapping, factory = mapping_of(bare), factory_of(bare)
        if isinstance(mapping, Section):
            return self.mapping(mapping)
        if mapping is not None:
            return self.defined(mapping.__name__, lambda: self.mapping(mapping))
        if factory is not None:
            return self.defined(factory.base.__name__, lambda: self.object(factory))
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (list, set, tuple, Sequence):
            return {**self.array(origin, arguments), **_limits(limits)}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return {**_PLAIN.get(bare, {}), **_limits(limits)}

    def field(self, field: Field) -> Schema:
        factory = factory_of(field.hint)
        if factory is None or not field.detected:
            return self.of(field.hint)
        options = {"anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds_in_reference(factory.base, 0)]}
        spelled = {
            "type": "object",
            "properties": {"class_path": {"const": field.detected}, "init_args": options},
            "required": ["class_path"],
            "additionalProperties": False,
        }
        return {"anyOf": [self.of(field.hint), {"const": field.detected}, spelled, options]}

    def array(self, origin: Any, arguments: tuple[Any, ...]) -> Schema:
        if origin is tuple and arguments[-1] is not Ellipsis:
            items = [self.of(item) for item in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        return {"type": "array", "items": self.of(arguments[0])}

    def mapping(self, target: Any, given: int = 0) -> Schema:
        """An object with the keys of a section, a dataclass or a class's `init_args`, and no others."""
        source = target.source if isinstance(target, Section) else target
        described = {} if source is None else arguments(source)
        properties: dict[str, Schema] = {}
        for key, field in fields_of(target, given).items():
            properties[key] = self.field(field)
            if description := field.description or described.get(key):
                properties[key] = {**properties[key], "description": description}
            if field.default is not REQUIRED and _is_json(default := as_plain(field.default)):
                properties[key] = {**properties[key], "default": default}
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return schema if isinstance(target, Section) else {"description": summary(target), **schema}

    def object(self, factory: Factory) -> Schema:
        """What makes an object: the name of its class, or `class_path` and `init_args`, which depend on each other."""
        ours = kinds_in_reference(factory.base, factory.given)
        others = [kind for kind in kinds_of(factory.base) if _is_from_elsewhere(kind)]
        named = {kind: _names(kind) for kind in ours}
        shorts = [kind.__name__ for kind in others if not kind.__name__.startswith("_") and kind is not factory.base]
        known = [name for names in named.values() for name in names] + sorted(set(shorts))
        elsewhere = {"type": "string", "pattern": OTHERS}
        class_path = {"anyOf": [{"enum": known}, elsewhere]} if known else elsewhere
        options = {kind: self.defined(kind.__name__, partial(self.mapping, kind, factory.given)) for kind in ours}
        by_class = [
            {"if": {"properties": {"class_path": {"enum": names}}, "required": ["class_path"]},
             "then": {"properties": {"init_args": {"anyOf": [options[kind], {"type": "null"}]}}}}
            for kind, names in named.items()
        ]  # fmt: skip
        of_any = {
            "if": {"not": {"required": ["class_path"]}},
            "then": {"properties": {"init_args": {"anyOf": [*options.values(), {"type": "null"}]}}},
        }
        spelled = {
            "type": "object",
            "properties": {"class_path": class_path, "init_args": {"type": ["object", "null"]}},
            "additionalProperties": False,
            **({"allOf": [*by_class, of_any]} if options else {}),
        }
        return {"description": summary(factory.base), "anyOf": [class_path, spelled]}

    def defined(self, name: str, write: Callable[[], Schema]) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # a class can hold its own kind
            self.definitions[name] = write()
        return {"$ref": f"#/$defs/{name}"}


def _names(kind: type) -> list[str]:
    path = import_path(kind)
    return [kind.__name__, path, *(old for old, new in MOVED.items() if new == path)]


def _is_from_elsewhere(kind: type) -> bool:
    """Of another package, and found in its module: a file cannot name a class made within a function, which is gone
    when nothing holds it."""
    elsewhere = kind.__module__.split(".")[0] != "resnet_tl"
    return elsewhere and getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def _limits(limits: Sequence[Any]) -> Schema:
    keywords: Schema = {}
    for limit in limits:
        if isinstance(limit, MinLen):
            keywords["minItems"] = limit.min_length
        elif isinstance(limit, MaxLen):
            keywords["maxItems"] = limit.max_length
        elif type(limit) in _KEYWORDS:
            name = "multiple_of" if isinstance(limit, MultipleOf) else type(limit).__name__.lower()
            keywords[_KEYWORDS[type(limit)]] = getattr(limit, name)
    return keywords


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (bool, int, float, str))
