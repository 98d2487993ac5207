"""Images and their numbers in a CSV: one line per image, with a column for each number."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from resnet_tl.data.listings.values import ValueListing, ValueSet
from resnet_tl.data.sources.class_names import some
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.listed_images import ListedImages
from resnet_tl.data.sources.parquet import is_parquet
from resnet_tl.data.sources.table import positions, read_lines
from resnet_tl.errors import DataError, RecipeError

LARGEST = float(np.finfo(np.float32).max)


class ValueColumns(NamedTuple):
    """The headings of a table's columns; see `Columns`.

    values: of the numbers; None: the only column that is left.
    """

    path: str = "path"
    values: Sequence[str] | None = None
    split: str = "split"
    group: str = ""


def read_values(
    table: str,
    root: str | None = None,
    columns: ValueColumns = ValueColumns(),
    *,
    names: Sequence[str] | None = None,
) -> ValueSet:
    """Lists the images of a CSV (UTF-8, separated by comma, semicolon or tab, with a header) and their numbers.

    Lines that cannot be used are faults of the set: a path that is missing, does not exist or is there twice, an
    unknown split, a cell that is no finite number.

    Args:
        table: path of the CSV.
        root: folder or zip that its paths are relative to; None: the folder of the table.
        columns: headings of path, numbers, split (`train`, `val`, `test`) and group.
        names: of a checkpoint's numbers, in the order of `columns.values`; None: those headings.

    Raises:
        DataError: the file or a column is missing. RecipeError: the columns of numbers cannot be told.
    """
    table = os.path.expanduser(table)
    if is_parquet(table):
        raise DataError(f"{table} is in Parquet; expected a CSV of paths and numbers")
    headings, lines = read_lines(table)
    values = _value_columns(table, headings, columns, names)
    expected = [("path_column", columns.path), *(("value_columns", name) for name in values)]
    has_split = columns.split != ValueColumns().split or columns.split in map(str.lower, headings)
    if has_split:
        expected.append(("split_column", columns.split))
    places = positions(table, headings, expected)
    reader = _Reader(
        table,
        ListedImages(os.path.expanduser(root) if root is not None else os.path.dirname(table) or "."),
        path=places[0],
        values=dict(zip(values, places[1 : len(values) + 1], strict=True)),
        split=places[-1] if has_split else None,
        group=headings.index(columns.group) if columns.group and columns.group in headings else None,
    )
    by_split: dict[str, list[str]] = {}
    for line, cells in lines:
        if (found := reader.read(line, cells)) is not None:
            by_split.setdefault(found[1], []).append(found[0])
    splits = {
        split: ValueListing.of_values(reader.images.root, sorted(keys), [reader.numbers[key] for key in sorted(keys)])
        for split, keys in sorted(by_split.items())
    }
    return ValueSet(table, list(names or values), splits, faults=reader.faults, groups=reader.groups)


class _Reader:
    """Reads lines, and collects the numbers and groups of images by their keys, and the faults with these."""

    def __init__(
        self, table: str, images: ListedImages, path: int, values: dict[str, int], split: int | None, group: int | None
    ) -> None:
        self.table, self.images = table, images
        self.path, self.values, self.split, self.group = path, values, split, group
        self.numbers: dict[str, list[float]] = {}
        self.groups: dict[str, str] = {}
        self.faults: dict[str, str] = {}
        self._lines: dict[str, int] = {}

    def read(self, line: int, cells: list[str]) -> tuple[str, str] | None:
        """Returns the key and split of a line's image; None for one with a fault."""
        key, fault = self._find(cells[self.path], cells)
        split = "train" if self.split is None else cells[self.split].lower()
        wrong = [] if fault is None else [fault]
        if fault is None and key in self._lines:
            wrong.append(f"lists {cells[self.path]} again (first in line {self._lines[key]})")
        if split not in SPLITS:
            wrong.append(f"has the split {split!r}; expected train, val or test")
        if self.group is not None and not cells[self.group]:
            wrong.append("has no group (data.group)")
        wrong += self._wrong_numbers(cells)
        self.faults |= {f"{self.table} line {line} {each}": key for each in wrong}
        self._lines.setdefault(key, line)
        if wrong:
            return None
        self.numbers[key] = [float(cells[place]) for place in self.values.values()]
        if self.group is not None:
            self.groups[key] = cells[self.group]
        return key, SPLITS[split]

    def _find(self, path: str, cells: list[str]) -> tuple[str, str | None]:
        """Returns the key of an image, or else what is wrong with its path."""
        if not path:
            return "", "has no path"
        if "://" in path:
            return path, f"lists the address {path}; expected the path of a file: download the image and list that"
        split = "" if self.split is None else cells[self.split]
        try:
            key = self.images.find(path, "", split)
        except ValueError as error:
            return path, f"lists {path}, which {error}"
        return (path, f"lists {path}, which does not exist below {self.images.root}") if key is None else (key, None)

    def _wrong_numbers(self, cells: list[str]) -> Iterator[str]:
        for name, place in self.values.items():
            if not cells[place]:
                yield f"has no number in column {name!r}"
            elif not _is_finite(cells[place]):
                yield f"has {cells[place]!r} in column {name!r}; expected a finite number, such as 3.5"


def _value_columns(
    table: str, headings: Sequence[str], columns: ValueColumns, names: Sequence[str] | None
) -> list[str]:
    """Returns the headings of the numbers.

    Raises RecipeError where they are not told, twice the same, or not as many as the checkpoint's.
    """
    if columns.values is not None:
        values = list(columns.values)
    elif names is not None and set(names) <= set(headings):
        values = list(names)
    else:
        others = {columns.path.lower(), columns.split.lower(), columns.group.lower()}
        values = [name for name in headings if name.lower() not in others]
        if len(values) != 1 or names is not None:
            raise RecipeError(
                f"data.value_columns is missing: name the columns of {table} that hold numbers, in brackets "
                f"(--data.value_columns '[{', '.join(names or values[:2] or ['age'])}]'; its columns: "
                f"{', '.join(headings)})"
            )
    if not values or len(set(values)) < len(values):
        raise RecipeError(f"data.value_columns is {values}; expected one or more columns, each once")
    if names is not None and len(names) != len(values):
        raise RecipeError(
            f"data.value_columns is {values}; expected as many as the checkpoint predicts ({some(names)})"
        )
    return values


def _is_finite(cell: str) -> bool:
    """Whether a cell is a number that float32 holds."""
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return False
