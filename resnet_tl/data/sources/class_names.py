"""Names of classes: how they are compared, sorted and listed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from resnet_tl.errors import DataError

ALL_CLASSES = "; expected some there, or data.classes with the names of all classes"
"""The end of an error about a class that has no images to train on."""


def composed(name: str) -> str:
    """A name in Unicode's composed form: two spellings of one name look the same, and should be."""
    return unicodedata.normalize("NFC", name)


def order_notes(root: str, names: Sequence[str]) -> list[str]:
    """A note where class names are numbers whose order is not that of their values."""
    if not all(name.isdecimal() for name in names) or list(names) == sorted(names, key=int):
        return []
    few = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [f"{root}: the class names are numbers, and sorted as text: {few}"]


def check_known(root: str, found: set[str], known: Sequence[str]) -> None:
    """Raises DataError if some of the classes `found` are not `known`: those of `data.classes`, or a checkpoint's."""
    if unknown := sorted(found - set(known)):
        raise DataError(
            f"{root} has classes ({some(unknown)}) that are not among the {len(known)} of data.classes, or of the "
            f"checkpoint: {some(known)}"
        )


def some(names: Sequence[str]) -> str:
    """Returns the first few, quoted."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
