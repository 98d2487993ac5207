"""The classes of masks: their names, values and colours, read from a text file or a CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE


@dataclass(frozen=True)
class ClassList:
    """The K classes of masks.

    names: K of them. ids `[K]`: their values in mask files. colours: `[K, 3]` uint8 RGB.
    by_colour: 0xrrggbb -> value, where the class file has colours, those of ignored values included.
    """

    names: list[str]
    ids: list[int]
    colours: np.ndarray
    by_colour: dict[int, int] = field(default_factory=dict)

    def coding(self, ignore: Sequence[int], others: int = NO_CLASS) -> Coding:
        """Returns how values map to classes: those in `ignore` are ignored, values of no class become `others`."""
        table = np.full(256, others, np.uint8)
        table[list(ignore)] = IGNORE
        table[self.ids] = np.arange(len(self.ids))
        return Coding(table, self.by_colour)


def read_classes(path: str, ignore: Sequence[int]) -> ClassList:
    """Reads class names from a text file (one per line, whose value is its line counted from 0) or from a CSV.

    The CSV has a header with the column `name` and optionally `id` and `colour` (`#rrggbb`). A line whose id is in
    `ignore` is not a class.

    Raises:
        DataError: there is no such file, it repeats names, ids or colours, or has ids that an 8-bit mask cannot hold.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the class file cannot be read ({error})") from None
    if path.endswith(".csv"):
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(text.splitlines())]
    else:
        rows = [{"name": line.strip()} for line in text.splitlines() if line.strip()]
    try:
        names = {int(row.get("id") or number): row["name"].strip() for number, row in enumerate(rows)}
        colours = {
            int(row.get("id") or number): int(colour.strip().removeprefix("#"), 16)
            for number, row in enumerate(rows)
            if (colour := row.get("colour"))
        }
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: expected the columns id, name, colour (#rrggbb), not {error}") from None
    by_colour = {colour: value for value, colour in colours.items()}
    classes = {value: name for value, name in names.items() if value not in ignore}
    if min(len(names), len(set(names.values()))) < len(rows) or len(classes) < 2:
        raise DataError(f"{path}: names {len(classes)} classes; expected two or more, each name and id once")
    if len(by_colour) < len(colours):
        raise DataError(f"{path}: has a colour twice")
    if not all(0 <= each < NO_CLASS for each in classes):
        raise DataError(f"{path}: has the id {max(classes)}; expected 0 to {NO_CLASS - 1}, which fit an 8-bit mask")
    shades = palette(len(classes))
    for index, value in enumerate(classes):
        if value in colours:
            shades[index] = list(colours[value].to_bytes(3, "big"))
    return ClassList(list(classes.values()), list(classes), shades, by_colour)


def palette(count: int) -> np.ndarray:
    """Returns Pascal VOC's colours, `[count, 3]` uint8: the bits of an index distributed over red, green and blue."""
    index = np.arange(count)[:, None]
    colours = np.zeros((count, 3), int)
    for bit in range(8):
        colours |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return colours.astype(np.uint8)
