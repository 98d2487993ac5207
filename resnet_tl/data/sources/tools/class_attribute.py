"""Which of a region's attributes holds its class, where a tool lets people name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

USUAL = ("label", "class", "name", "category", "type", "object")
"""Attributes that hold the class, where regions have several."""


def class_among(names: Sequence[str]) -> str | None:
    """Returns the attribute that holds the class: the one called as in `USUAL`, or the only one; None for neither."""
    usual = [name for word in USUAL for name in names if name.lower() == word]
    return usual[0] if usual else (names[0] if len(names) == 1 else None)


def chosen(value: Any) -> str:
    """Of a text, a drop-down, or check boxes `{"cat": true}` with one of them ticked."""
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        if len(ticked) != 1:
            raise ValueError(f"has {len(ticked)} classes ticked; expected one")
        return str(ticked[0])
    return str(value).strip()
