"""What docstrings say of classes and of their arguments, as plain sentences."""

from __future__ import annotations

import inspect
import re
from typing import Any

_ENTRY = re.compile(r"(?P<names>\**\w+(?:, \**\w+)*)(?: \([^)]*\))?: ?(?P<text>.*)")


def summary(target: Any) -> str:
    """The first sentence of a class's or function's own docstring, on one line."""
    own = target.__doc__ or ""
    paragraph = inspect.cleandoc(own).split("\n\n")[0]
    return _first_sentence(" ".join(paragraph.split()))


def arguments(target: Any) -> dict[str, str]:
    """What the `Args:` of a class, of those it inherits from or of a function say of each argument, the nearest first.

    Lightning's further paragraphs and `Default:` lines are left out.
    """
    described: dict[str, str] = {}
    for owner in target.__mro__ if inspect.isclass(target) else [target]:
        for text in (owner.__doc__, vars(owner).get("__init__", None) and vars(owner)["__init__"].__doc__):
            for name, words in _arguments(text or "").items():
                described.setdefault(name, words)
    return described


def _arguments(docstring: str) -> dict[str, str]:
    """Entries of the block `Args:`: its least indented lines start one, deeper lines go on with it."""
    lines = inspect.cleandoc(docstring).split("\n")
    if "Args:" not in lines:
        return {}
    block: list[str] = []
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        block.append(line)
    indent = min((len(line) - len(line.lstrip()) for line in block if line), default=0)
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in block:
        starts = len(line) - len(line.lstrip()) == indent and _ENTRY.fullmatch(line.strip())
        if starts:
            names = [name.strip("*") for name in starts["names"].split(", ")]
            entries |= dict.fromkeys(names, starts["text"])
        elif not line:
            names = []
        else:
            entries |= {name: f"{entries[name]} {line.strip()}".strip() for name in names}
    return {name: _without_default(text) for name, text in entries.items()}


def _without_default(text: str) -> str:
    return re.sub(r"\s*Defaults?(?: to)?:? ``[^`]*``.*", "", text).replace("``", "`").strip()


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
