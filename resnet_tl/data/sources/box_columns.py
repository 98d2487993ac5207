"""The columns of a CSV of boxes: which they are, by their headings or as listed, and what a line has in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from resnet_tl.data.sources.table import read_lines
from resnet_tl.data.sources.tree import is_image
from resnet_tl.errors import DataError, did_you_mean

HEADINGS = {
    "path": ("path", "filename", "file_name", "image", "imageid", "image_id"),
    "label": ("label", "class", "name", "category", "labelname", "class_name"),
    "x1": ("x1", "xmin", "left", "x_min"),
    "y1": ("y1", "ymin", "top", "y_min"),
    "x2": ("x2", "xmax", "right", "x_max"),
    "y2": ("y2", "ymax", "bottom", "y_max"),
    "split": ("split",),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
    "crowd": ("isgroupof", "iscrowd"),
}
"""The names that a column may have, in letters of any size."""
SIDES = ("x1", "y1", "x2", "y2")
GROUP = "group"
OPTIONAL = ("split", "width", "height", "crowd")


class Line(NamedTuple):
    """A line of a table. place: its file and number, for messages. cells: by column."""

    place: str
    cells: dict[str, str]

    @property
    def has_box(self) -> bool:
        return any(self.cells[side] for side in (*SIDES, "label"))


def read_box_lines(table: str, columns: Sequence[str] | None = None, group: str | None = None) -> list[Line]:
    """Returns the lines of a CSV.

    Args:
        columns: of a file without a header, in their order.
        group: heading of a further column, `GROUP` in the cells, if there is one.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    header, lines = read_lines(table, columns)
    lowered = [name.lower() for name in header]
    places = {}
    for column, headings in HEADINGS.items():
        heading = next((name for name in headings if name in lowered), None)
        if heading is None and column not in OPTIONAL:
            if columns is None and sum(map(_is_number, header)) >= len(SIDES):
                raise DataError(
                    f"{table} has no header; list its columns in data.columns, as [{', '.join(_columns_of(header))}] "
                    f"(its first line: {', '.join(header)})"
                )
            raise DataError(
                f"{table} has no column {column!r}{did_you_mean(column, header)} (columns: {', '.join(header)}; "
                f"expected path, label, x1, y1, x2, y2 or names as {', '.join(headings[1:])})"
            )
        places[column] = None if heading is None else lowered.index(heading)
    places |= {GROUP: header.index(group)} if group in header else {}
    return [
        Line(f"{table}: line {number}", {column: "" if at is None else cells[at] for column, at in places.items()})
        for number, cells in lines
    ]


def _columns_of(cells: Sequence[str]) -> list[str]:
    """Returns the columns of a line without a header as its cells look: an image, four numbers, and a class."""
    path = next((at for at, cell in enumerate(cells) if is_image(cell)), 0)
    label = next((at for at, cell in enumerate(cells) if at != path and not _is_number(cell)), len(cells) - 1)
    if len(cells) != len(SIDES) + 2:
        return ["path", *SIDES, "label"]
    sides = iter(SIDES)
    return ["path" if at == path else "label" if at == label else next(sides) for at in range(len(cells))]


def box_numbers(lines: Iterable[Line]) -> Iterator[float]:
    """Yields the sides of all boxes that are numbers."""
    cells = (line.cells[side] for line in lines for side in SIDES)
    return (float(cell) for cell in cells if _is_number(cell))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
