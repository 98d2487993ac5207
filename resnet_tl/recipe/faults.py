"""Everything that is wrong with a recipe, in one error."""

from __future__ import annotations

import re
from collections.abc import Iterable

from resnet_tl.errors import RecipeError


def in_order(faults: Iterable[str]) -> list[str]:
    """Returns each fault once: those of a file by line, files and options in the order they came."""
    unique = list(dict.fromkeys(faults))
    files = list(dict.fromkeys(_place(fault)[0] for fault in unique))
    return sorted(unique, key=lambda fault: (files.index(_place(fault)[0]), _place(fault)[1]))


def raise_if_any(faults: Iterable[str]) -> None:
    """Raises RecipeError with the only fault, or with their number and one line for each."""
    listed = in_order(faults)
    if len(listed) == 1:
        raise RecipeError(listed[0])
    if listed:
        raise RecipeError(f"the recipe has {len(listed)} faults:" + "".join(f"\n  {fault}" for fault in listed))


def _place(fault: str) -> tuple[str, int]:
    """File and line: `photos.yaml:7: ...`."""
    match = re.match(r"([^:]+\.[^:.]+):(\d+): ", fault)
    return (match[1], int(match[2])) if match else ("", 0)
