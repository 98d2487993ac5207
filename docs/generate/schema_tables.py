"""Tables of every key that a recipe takes, from the schema: type, default and meaning."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_tl.recipe.hints import describe
from resnet_tl.recipe.schema import REQUIRED, Field, Section, factory_of, fields_of, item_of, kinds_of, mapping_of
from resnet_tl.recipe.values import as_plain

ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


@dataclass(frozen=True)
class Documented:
    """A class, dataclass or section whose keys a recipe sets.

    at: where a recipe names it: `model.backbone`, `model.head`.
    """

    target: Any
    at: str
    summary: str
    fields: Mapping[str, Field]
    meanings: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.target.__name__


def documented(section: Section) -> list[Documented]:
    """Every class that a recipe can reach, each once, in the order in which the sections name them."""
    found: dict[Any, Documented] = {}
    for name, field in section.fields.items():
        for target, at, given in _targets(field.hint, name, set()):
            found.setdefault(target, _describe(target, at, given))
    return list(found.values())


def table(entry: Documented) -> str:
    """The keys of a class as a Markdown table."""
    rows = [
        f"| `{name}` | {cell(type_of(field.hint))} | {cell(default_of(field))} | {cell(meaning(entry, name))} |"
        for name, field in entry.fields.items()
    ]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows])


def meaning(entry: Documented, name: str) -> str:
    """As a docstring has it, in the words of a recipe."""
    return re.sub(r"\bNone\b", "`null`", entry.meanings.get(name, ""))


def type_of(hint: Any) -> str:
    """A type in a reader's words; an object by the kind of class that it has to be."""
    factory, item, mapping = factory_of_safely(hint), item_of_safely(hint), mapping_of(hint)
    nullable = type(None) in typing.get_args(hint)
    if item is not None:
        return f"a list of {type_of(item)}" + (" or null" if nullable else "") + _words(hint)
    if mapping is not None and not isinstance(mapping, Section):
        return f"keys of [{mapping.__name__}](#{mapping.__name__.lower()})"
    if factory is not None and factory.base is not object:
        return f"class_path of a {factory.base.__name__}" + (" or null" if nullable else "")
    return f"`{describe(hint)}`"


def default_of(field: Field) -> str:
    """A default as a recipe writes it; only class names are shortened."""
    if field.default is REQUIRED:
        return "required"
    value = as_plain(field.default)
    if isinstance(value, dict) and "class_path" in value:
        return f"`{value['class_path'].rpartition('.')[2]}`"
    if isinstance(value, dict) and value and mapping_of(field.hint):
        return "its own"
    text = json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, str):
        text = value
    return f"`{text}`" if len(text) <= 60 else "its own"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def meanings_of(target: Any) -> dict[str, str]:
    """The meaning of each name, by the `Args:` of a class's docstring and of those of its bases."""
    owners = [owner for owner in target.__mro__ if owner.__doc__] if inspect.isclass(target) else [target]
    found: dict[str, str] = {}
    for owner in owners:
        own = _arguments(owner.__doc__ or "")
        found |= {name: text for name, text in own.items() if name not in found and not text.startswith("see `")}
    return found


def summary_of(target: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(target) or "").partition("\n\n")[0].split())


def factory_of_safely(hint: Any) -> Any:
    try:
        return factory_of(hint)
    except ValueError:  # a bare Callable
        return None


def item_of_safely(hint: Any) -> Any:
    try:
        return item_of(hint)
    except ValueError:
        return None


def _targets(hint: Any, at: str, above: set[Any]) -> Iterator[tuple[Any, str, int]]:
    """The classes of the project under a hint, and under their own keys."""
    mapping, item, factory = mapping_of(hint), item_of_safely(hint), factory_of_safely(hint)
    if item is not None:
        yield from _targets(item, at, above)
    if isinstance(mapping, Section):
        return  # the Trainer's: a table of its own
    if mapping is not None:
        kinds = [(mapping, 0)]
    else:
        kinds = [(kind, factory.given) for kind in kinds_of(factory.base)] if factory is not None else []
    for kind, given in kinds:
        if kind in above or not kind.__module__.startswith("resnet_tl."):
            continue
        yield kind, at, given
        for name, field in fields_of(kind, given).items():
            yield from _targets(field.hint, f"{at}.{name}", {*above, kind})


def _describe(target: Any, at: str, given: int) -> Documented:
    return Documented(target, at, summary_of(target), fields_of(target, given), meanings_of(target))


def _arguments(docstring: str) -> dict[str, str]:
    """`name: text` and `a, b: text` below `Args:`, continued lines joined."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Args:" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        entry = ENTRY.match(line[4:])
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _words(hint: Any) -> str:
    """The words that stand for a list: `gradual`, `lpft`."""
    words = [
        word
        for arm in typing.get_args(hint)
        if typing.get_origin(arm) is typing.Literal
        for word in typing.get_args(arm)
    ]
    return f", or one of {', '.join(words)}" if words else ""
