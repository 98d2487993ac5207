"""Boxes in a CSV: one line per box, or a line without a box for an image without objects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, box_set
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.table import key_of, open_root, read_lines
from resnet_tl.errors import DataError, did_you_mean
from resnet_tl.structures.records import Code

HEADINGS = {
    "path": ("path", "filename", "file_name", "image"),
    "label": ("label", "class", "name", "category"),
    "x1": ("x1", "xmin", "left"),
    "y1": ("y1", "ymin", "top"),
    "x2": ("x2", "xmax", "right"),
    "y2": ("y2", "ymax", "bottom"),
    "split": ("split",),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}
"""The names that a column may have; split, width and height are optional."""
SIDES = ("x1", "y1", "x2", "y2")
OPTIONAL = ("split", "width", "height")


class Line(NamedTuple):
    """A line of the table: its number, and its cells by column."""

    number: int
    cells: dict[str, str]

    @property
    def has_box(self) -> bool:
        return any(self.cells[side] for side in (*SIDES, "label"))


def read_box_table(
    table: str,
    root: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> BoxSet:
    """Reads a CSV (UTF-8, separated by comma, semicolon or tab) with the columns path, label, x1, y1, x2, y2 and
    optionally split, width and height of the image; see `HEADINGS` for other names.

    Corners are in pixels from the upper left of the image, on pixel edges: a box around all of it is 0, 0, width,
    height. A line with only a path is an image without objects.

    Args:
        table: path of that file.
        root: folder or zip that its paths are relative to; None: the folder of the CSV.
        classes: class names of a checkpoint, which must include the table's; None: the labels of the training images,
            sorted.
        channels: of the images.
        keep_empty: keep classes without an object in any split; see `box_set`.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    table = os.path.expanduser(table)
    lines = _lines(table)
    folder = os.path.expanduser(root) if root is not None else os.path.dirname(table) or "."
    folder, exists = open_root(folder)
    findings = Findings(folder, table)
    by_split: dict[str, dict[str, list[Line]]] = {}
    for line in lines:
        key, split = key_of(folder, line.cells["path"]), line.cells["split"].lower() or "train"
        if not line.cells["path"]:
            findings.faults.append(f"{table}: line {line.number} has no path")
        elif split not in SPLITS:
            findings.faults.append(f"{table}: line {line.number} has the split {split!r}; expected train, val or test")
        elif not exists(key):
            findings.faults.append(f"{table}: line {line.number} lists {key}, which does not exist below {folder}")
        else:
            by_split.setdefault(SPLITS[split], {}).setdefault(key, []).append(line)
    names = list(classes) if classes is not None else _classes(by_split)
    builders = {}
    for split, images in sorted(by_split.items()):
        entries = [Entry(key, _size(table, lines, findings), f"{table}: {key}") for key, lines in images.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        for row, lines in enumerate(images.values()):
            _add(builders[split], row, [line for line in lines if line.has_box], findings)
    codes: list[Code] = [*range(len(names))]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


def _add(builder: BoxListingBuilder, row: int, lines: list[Line], findings: Findings) -> None:
    index = {name: i for i, name in enumerate(builder.classes)}
    findings.images.update({f"{findings.name}: line {line.number}": builder.entries[row].key for line in lines})
    for number, cells in lines:
        label = cells["label"]
        try:
            box = [float(cells[side]) for side in SIDES]
        except ValueError:
            sides = ", ".join(cells[side] for side in SIDES)
            findings.faults.append(f"{findings.name}: line {number} has the box {sides}; expected four numbers")
            continue
        if label not in index:
            near = did_you_mean(label, index)
            findings.faults.append(
                f"{findings.name}: line {number} has the label {label!r}, which is not a class{near}"
            )
        builder.add(row, index.get(label), box, f"line {number}")


def _lines(table: str) -> list[Line]:
    header, lines = read_lines(table)
    places = {}
    for column, headings in HEADINGS.items():
        heading = next((name for name in headings if name in header), None)
        if heading is None and column not in OPTIONAL:
            raise DataError(
                f"{table} has no column {column!r}{did_you_mean(column, header)} (columns: {', '.join(header)}; "
                f"expected path, label, x1, y1, x2, y2 or names as {', '.join(headings[1:])})"
            )
        places[column] = None if heading is None else header.index(heading)
    return [
        Line(number, {column: "" if at is None else cells[at] for column, at in places.items()})
        for number, cells in lines
    ]


def _size(table: str, lines: list[Line], findings: Findings) -> tuple[int, int] | None:
    """Returns (h, w) of an image as its lines give it; None where they do not."""
    cells = {(line.cells["height"], line.cells["width"]) for line in lines} - {("", "")}
    if not cells:
        return None
    try:
        sizes = {(int(float(height)), int(float(width))) for height, width in cells}
    except (ValueError, OverflowError):
        sizes = set()
    if len(sizes) != 1:
        findings.faults.append(f"{table}: line {lines[0].number} and others of its image give no size, or several")
        return None
    return sizes.pop()


def _classes(by_split: dict[str, dict[str, list[Line]]]) -> list[str]:
    first = "train" if "train" in by_split else next(iter(by_split), "")
    images = by_split.get(first, {}).values()
    return sorted({line.cells["label"] for lines in images for line in lines if line.cells["label"]})
