"""YAML to trees, within bounds: any text gives a tree or one sentence with its line, and quickly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import yaml

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.node import Node
from resnet_tl.recipe.shipped import shipped_root

MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 2**17, 20_000, 100
"""More than any recipe has, and less than takes a second to read."""

MAX_DIGITS = 18
"""What fits into 64 bits."""

_POWER = r"[eE][-+]?[0-9]+"
_DECIMAL = rf"(\.[0-9]+|[0-9]+\.[0-9]*)({_POWER})?"
_NUMBER_STARTS = list("-+.0123456789")
_TAG = "tag:yaml.org,2002:"
SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", _NUMBER_STARTS),
    "float": (rf"[-+]?({_DECIMAL}|[0-9]+{_POWER})|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _NUMBER_STARTS),
    "merge": (r"<<", ["<"]),
}
"""YAML 1.2's scalars by tag: a pattern, and the characters it starts with."""


class BoundsError(RecipeError):
    """A text that is too large, too deep, or expands to too much."""


def parse(text: str, label: str, duplicates: list[str]) -> Node:
    """The tree of a YAML text; a key that occurs twice in a mapping adds a sentence to `duplicates`.

    label: the file, or the option (`--data.root`), as messages call it.

    Raises RecipeError with file and line for what is not YAML; BoundsError for a text beyond the limits.
    """
    tree = _Tree(label, duplicates)
    if len(text) > MAX_CHARACTERS:
        raise BoundsError(f"{label}: not a recipe: more than {MAX_CHARACTERS:,} characters")
    try:
        root = _Loader(text).get_single_node()
        return Node(None, label) if root is None else tree.node(root, 0)
    except _TooDeep as error:
        _too_deep(tree.where(error.node_mark))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{label}{line}: not valid YAML: {error.problem}{_repair(error)}") from None
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"{label}:{number}: not valid YAML: character {_code(error.character)} is not text") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes of no character: "\UFFFFFFFF"
        raise RecipeError(f"{label}: not valid YAML: {' '.join(str(error).split())}") from None


class _TooDeep(Exception):
    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__()
        self.node_mark = mark


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of scalars: `1e-4` is a number; `off`, `no`, `1:30` and `2024-01-01` are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own way
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.depth > MAX_DEPTH:  # PyYAML recurses, and Python's stack ends at about 300 levels
            raise _TooDeep(self.peek_event().start_mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name, (_pattern, _starts) in SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^({_pattern})$"), _starts)


@dataclass
class _Tree:
    """PyYAML's nodes, which aliases share, to a tree of ours, which shares nothing; counted on the way."""

    label: str
    duplicates: list[str]
    count: int = 0
    seen: set[tuple[int, str]] = field(default_factory=set)

    def where(self, mark: yaml.Mark) -> str:
        return self.label if self.label.startswith("--") else f"{self.label}:{mark.line + 1}"

    def node(self, node: yaml.Node, depth: int) -> Node:
        where = self.where(node.start_mark)
        self.count += 1
        if depth > MAX_DEPTH:  # an alias inside its own anchor never ends
            _too_deep(where)
        if self.count > MAX_VALUES:
            raise BoundsError(f"{where}: not a recipe: more than {MAX_VALUES:,} values, aliases written out")
        if isinstance(node, yaml.MappingNode):
            return Node(self.mapping(node, depth), where)
        if isinstance(node, yaml.SequenceNode):
            _expect(node, "seq")
            return Node([self.node(item, depth + 1) for item in node.value], where)
        return Node(_scalar(node), where)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        _expect(node, "map")
        lines: dict[str, int] = {}
        children: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                where = self.where(key.start_mark)
                raise RecipeError(f"{where}: not a recipe: a key must be a word, not a list or mapping")
            if key.value in lines:
                self.duplicate(key, lines[key.value])
            lines.setdefault(key.value, line)
            if key.tag == _TAG + "merge":
                merged = self.merged(value, depth)
            else:
                _check_text(key)
                children[key.value] = replace(self.node(value, depth + 1), where=self.where(key.start_mark))
        return {**merged, **children}

    def merged(self, value: yaml.Node, depth: int) -> dict[str, Node]:
        """The keys of `<<: *base` or `<<: [*first, *second]`, where the first counts most."""
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged: dict[str, Node] = {}
        for source in reversed(sources):
            if not isinstance(source, yaml.MappingNode):
                raise RecipeError(f"{self.where(source.start_mark)}: not valid YAML: expected a mapping to merge")
            merged |= self.node(source, depth + 1).value
        return merged

    def duplicate(self, key: yaml.ScalarNode, first: int) -> None:
        place = (key.start_mark.index, key.value)
        if place not in self.seen:  # an alias shows its mapping again
            self.seen.add(place)
            where = self.where(key.start_mark)
            self.duplicates.append(f"{where}: duplicate key {key.value!r}, first on line {first}")


def _scalar(node: yaml.Node) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    _check_text(node)
    if kind == "str":
        return text.replace("${shipped}", str(shipped_root())) if "${shipped}" in text else text
    if kind == "null":
        return None
    if kind not in ("bool", "int", "float"):
        _refuse(node, f"unknown tag {node.tag!r}")
    patterns = [SCALARS[kind][0], *([SCALARS["int"][0]] if kind == "float" else [])]  # `!!float 3`
    if not any(re.fullmatch(pattern, text) for pattern in patterns):
        _refuse(node, f"{_brief(text)} is not {'an int' if kind == 'int' else f'a {kind}'}")
    if kind == "bool":
        return text.lower() == "true"
    if kind == "float":
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    if len(text) > MAX_DIGITS:
        _refuse(node, f"an integer of {len(text):,} digits (put it in quotes if it is text)")
    return int(text)


def _expect(node: yaml.Node, kind: str) -> None:
    if node.tag != _TAG + kind:
        _refuse(node, f"unknown tag {node.tag!r}")


def _check_text(node: yaml.Node) -> None:
    """No file, key or class has such a name, and no file of ours can hold it."""
    wrong = next(_not_text(node.value), None)
    if wrong is not None:
        _refuse(node, f"character {_code(wrong)} is not text")


def _not_text(text: str) -> Iterator[str]:
    return (c for c in text if (c < " " and c not in "\t\n\r") or "\ud800" <= c <= "\udfff")


def _refuse(node: yaml.Node, problem: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _too_deep(where: str) -> NoReturn:
    raise BoundsError(f"{where}: not a recipe: nested more than {MAX_DEPTH} deep")


def _code(character: Any) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


def _brief(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _repair(error: yaml.MarkedYAMLError) -> str:
    return " (indent with spaces)" if "'\\t'" in str(error.problem) else ""
