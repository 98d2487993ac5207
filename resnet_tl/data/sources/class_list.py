"""The classes of masks: their names, values and colours, read from the class files that people and tools write."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

CLASS_FILES = ("classes.csv", "classes.txt", "_classes.csv", "class_dict.csv", "class_names.txt", "labelmap.txt")
"""Names of class files, the first one that there is: ours; Roboflow's, CamVid's, labelme's and CVAT's."""

HEADERS = {"pixel value": "id", "class": "name", "color": "colour", "red": "r", "green": "g", "blue": "b"}
"""Other headers of a CSV -> ours."""


VOID = {
    *("void", "ignore", "ignored", "unlabeled", "unlabelled", "unannotated", "unknown", "undefined", "none", "invalid"),
    *("dontcare", "nodata", "border", "boundary"),
}
"""Names that people give to what is ignored, in small letters alone."""
BACKGROUND = {"background", "bg", "other", "others", "0"}
"""Names, in small letters, of a first class that is drawn in black."""


@dataclass(frozen=True)
class ClassList:
    """The K classes of masks.

    names: K of them. ids `[K]`: their values in mask files. colours: `[K, 3]` uint8 RGB.
    by_colour: 0xrrggbb -> value, where the class file has colours, those of ignored values included.
    palettes: whether colours, not indices, are what counts in masks with a palette.
    """

    names: list[str]
    ids: list[int]
    colours: np.ndarray
    by_colour: dict[int, int] = field(default_factory=dict)
    palettes: bool = False

    def coding(self, ignore: Sequence[int], others: int = NO_CLASS) -> Coding:
        """Returns how values map to classes: those in `ignore` are ignored, values of no class become `others`."""
        table = np.full(256 if max(self.ids) < 256 else 1 << 16, others, np.uint8)
        table[[value for value in ignore if value < len(table)]] = IGNORE
        table[self.ids] = np.arange(len(self.ids))
        return Coding(table, self.by_colour, self.palettes)

    def select(self, ids: Sequence[int]) -> ClassList:
        """Returns the classes of these values, in their order."""
        places = [self.ids.index(value) for value in ids]
        return replace(self, names=[self.names[i] for i in places], ids=list(ids), colours=self.colours[places])


def find_class_file(tree: Tree) -> str | None:
    """Returns the path of the class file nearest to the root, if there is any."""
    found = [file for file in tree.files if posixpath.basename(file).lower() in CLASS_FILES]
    order = sorted(found, key=lambda file: (file.count("/"), CLASS_FILES.index(posixpath.basename(file).lower()), file))
    return f"{tree.root}/{order[0]}" if order else None


def read_classes(path: str, ignore: Sequence[int]) -> ClassList:
    """Reads class names from a text file (one per line, whose value is its line counted from 0), from a CSV, or from
    CVAT's `labelmap.txt` (`name:r,g,b:parts:actions`).

    The CSV has a header with the column `name` and optionally `id` and `colour` (`#rrggbb`, or the columns r, g, b). A
    line whose id is in `ignore` is not a class.

    Raises:
        DataError: there is no such file, it repeats names, ids or colours, or has ids that an 8-bit mask cannot hold.
    """
    try:
        text = read_bytes(path, allow_empty=True).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the class file cannot be read ({error})") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if posixpath.basename(path).lower() == "labelmap.txt":
        return replace(_class_list(path, _labelmap_rows(lines, path), ignore), palettes=True)
    return _class_list(
        path, _csv_rows(text, path) if path.endswith(".csv") else [{"name": line} for line in lines], ignore
    )


def of_values(values: Iterable[int], names: Sequence[str] | None = None) -> ClassList:
    """Returns the classes of masks without a class file: named after their values."""
    ids = list(values)
    names = list(names or map(str, ids))
    return ClassList(names, ids, class_colours(names))


def is_void(name: str) -> bool:
    """Whether a name is that of pixels without a class."""
    return "".join(filter(str.isalpha, name.lower())) in VOID


def _csv_rows(text: str, path: str) -> list[dict[str, str]]:
    reader = csv.DictReader(text.splitlines(), restval="", skipinitialspace=True)
    try:
        names = [HEADERS.get(name.strip().lower(), name.strip().lower()) for name in reader.fieldnames or []]
        return [dict(zip(names, row.values(), strict=False)) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: the class file cannot be read ({error})") from None


def _labelmap_rows(lines: Sequence[str], path: str) -> list[dict[str, str]]:
    """Lines `label:r,g,b:parts:actions`; those that begin with # are comments."""
    rows = []
    for line in lines:
        label, _, rest = line.partition(":")
        channels = rest.partition(":")[0].split(",")
        if len(channels) == 3:
            rows.append({"name": label, **dict(zip("rgb", channels, strict=True))})
        elif not line.startswith("#"):
            raise DataError(f"{path}: has the line {line!r}; expected label:r,g,b:parts:actions, as CVAT writes it")
    return rows


def _class_list(path: str, rows: Sequence[dict[str, str]], ignore: Sequence[int]) -> ClassList:
    try:
        names = {int(row.get("id") or number): row["name"].strip() for number, row in enumerate(rows)}
        colours = {
            int(row.get("id") or number): colour
            for number, row in enumerate(rows)
            if (colour := _colour(row)) is not None
        }
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: expected the columns id, name, colour (#rrggbb), not {error}") from None
    by_colour = {colour: value for value, colour in colours.items()}
    classes = {value: name for value, name in names.items() if value not in ignore}
    if len(classes) == 1 and len(names) == len(rows):
        raise DataError(
            f"{path}: names one class ({next(iter(classes.values()))!r}); expected two or more: the background is a "
            "class too, with a name and a value of its own"
        )
    if min(len(names), len(set(names.values()))) < len(rows) or len(classes) < 2:
        raise DataError(f"{path}: names {len(classes)} classes; expected two or more, each name and id once")
    if len(by_colour) < len(colours):
        raise DataError(f"{path}: has a colour twice")
    limit = NO_CLASS - 1 if IGNORE in ignore else IGNORE
    if not all(0 <= each <= limit for each in classes):
        raise DataError(f"{path}: has the id {max(classes)}; expected 0 to {limit}, which fit an 8-bit mask")
    shades = class_colours(list(classes.values()))
    for index, value in enumerate(classes):
        if value in colours:
            shades[index] = list(colours[value].to_bytes(3, "big"))
    return ClassList(list(classes.values()), list(classes), shades, by_colour)


def _colour(row: dict[str, str]) -> int | None:
    """The colour 0xrrggbb of a line; None: it has none."""
    if "b" in row:
        return int.from_bytes(bytes(int(row[part]) for part in "rgb"), "big")
    text = (row.get("colour") or "").strip().removeprefix("#")
    if len(text) > 6 or text.startswith("-"):
        raise ValueError(f"#{text}")
    return int(text, 16) if text else None


def class_colours(names: Sequence[str]) -> np.ndarray:
    """Returns colours `[K, 3]` uint8 by which masks are drawn: the palette's, whose black is the background's alone."""
    colours = palette(len(names) + 1)
    if not (is_void(names[0]) or names[0].strip("_ ").lower() in BACKGROUND):
        colours[0] = colours[-1]
    return colours[:-1]


def palette(count: int) -> np.ndarray:
    """Returns Pascal VOC's colours, `[count, 3]` uint8: the bits of an index distributed over red, green and blue."""
    index = np.arange(count)[:, None]
    colours = np.zeros((count, 3), int)
    for bit in range(8):
        colours |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return colours.astype(np.uint8)
