"""A flat description of everything that a recipe can say: for reference pages, and for the JSON Schema."""

from __future__ import annotations

from typing import Any, NamedTuple

from resnet_tl.recipe.docstrings import arguments, summary
from resnet_tl.recipe.hints import describe
from resnet_tl.recipe.schema import (
    REQUIRED,
    Field,
    Section,
    can_be_named,
    factory_of,
    fields_of,
    import_path,
    item_of,
    kinds_of,
    mapping_of,
)
from resnet_tl.recipe.values import as_plain


class Argument(NamedTuple):
    """A key. `type` has its range in it: `int >= 1`; `default` is as a recipe would write it, or `REQUIRED`."""

    name: str
    type: str
    default: Any
    description: str
    hint: Any


class Entry(NamedTuple):
    """A class that a recipe can name, a dataclass, or a section of the recipe.

    name: the class's short name, or the section's key (`trainer`).
    kind: what it can be named as: `Head`, `ImageData`, ...; "" for dataclasses and sections.
    path: its full import path; "" for sections.
    """

    name: str
    kind: str
    path: str
    description: str
    arguments: list[Argument]


def reference(section: Section) -> list[Entry]:
    """The sections, dataclasses and classes of this package that a recipe can say, in the order they are met."""
    entries: dict[str, Entry] = {}
    _entries("recipe", section, 0, "", entries)
    return list(entries.values())


def kinds_in_reference(base: type, given: int) -> list[type]:
    """The kinds of `base` in this package that a recipe can name."""
    return [kind for kind in kinds_of(base) if kind.__module__.startswith("resnet_tl.") and can_be_named(kind, given)]


def _entries(name: str, target: Any, given: int, kind: str, entries: dict[str, Entry]) -> None:
    """Adds the entry of `target`, then those of everything that its keys can hold."""
    is_section = isinstance(target, Section)
    path = "" if is_section else import_path(target)
    if (path or name) in entries:
        return
    source = target.source if is_section else target
    described, fields = {} if source is None else arguments(source), fields_of(target, given)
    rows = [
        Argument(key, describe(field.hint), _default(field), field.description or described.get(key, ""), field.hint)
        for key, field in fields.items()
    ]
    entries[path or name] = Entry(name, kind, path, "" if is_section else summary(target), rows)
    for key, field in fields.items():
        hint = item_of(field.hint) or field.hint
        mapping, factory = mapping_of(hint), factory_of(hint)
        if mapping is not None:
            _entries(key if isinstance(mapping, Section) else mapping.__name__, mapping, 0, "", entries)
        if factory is not None:
            for member in kinds_in_reference(factory.base, factory.given):
                _entries(member.__name__, member, factory.given, factory.base.__name__, entries)


def _default(field: Field) -> Any:
    return REQUIRED if field.default is REQUIRED else as_plain(field.default)
