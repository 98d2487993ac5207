"""Keys as Markdown tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from resnet_tl.recipe.reference import Argument
from resnet_tl.recipe.schema import REQUIRED, item_of, mapping_of

LONGEST = 60
"""Characters of a default; a longer one is that of the class."""


def table(rows: Sequence[Argument]) -> str:
    lines = [
        f"| `{row.name}` | {cell(type_of(row))} | {cell(default_of(row))} | {cell(meaning_of(row))} |" for row in rows
    ]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *lines])


def type_of(row: Argument) -> str:
    """With its range; of keys within keys a link to their table."""
    item = item_of(row.hint)
    mapping = mapping_of(row.hint if item is None else item)
    if mapping is None or not hasattr(mapping, "__name__"):
        return f"`{row.type}`"
    link = f"[{mapping.__name__}](keys.md#{mapping.__name__.lower()})"
    if item is None:
        return f"keys of {link}"
    words = row.type.partition(" or ")[2]
    return f"a list of {link}" + (f" or `{words}`" if words else "")


def default_of(row: Argument) -> str:
    """As a recipe writes it; a class by its short name."""
    if row.default is REQUIRED:
        return "required"
    if isinstance(row.default, dict) and "class_path" in row.default:
        return f"`{row.default['class_path'].rpartition('.')[2]}`"
    if isinstance(row.default, str):
        return f"`{row.default}`" if row.default else "empty"
    text = json.dumps(row.default, default=str, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST and mapping_of(row.hint) is None else "see there"


def meaning_of(row: Argument) -> str:
    """In Markdown, and in the words of a recipe, which says `null`."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", row.description).replace("``", "`")
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part.replace("None", "null") if part.startswith("`") else re.sub(r"\bNone\b", "`null`", part) for part in parts
    )


def cell(text: str) -> str:
    """On one line; a bar outside of code would end the cell."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)
