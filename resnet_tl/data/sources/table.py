"""Images and their labels in a CSV or Parquet file: one line per image, with one label or several (`cat|indoors`)."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl.csv_text import plain_text
from resnet_tl.data.listings.faults import refuse_or_keep
from resnet_tl.data.listings.kept import kept_listing
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.sources import parquet
from resnet_tl.data.sources.class_names import ALL_CLASSES, check_known, composed, order_notes
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.listed_images import ListedImages
from resnet_tl.data.sources.parquet import is_parquet
from resnet_tl.data.sources.tree import is_image, missing
from resnet_tl.errors import DataError, did_you_mean

AFTER_QUOTE = re.compile(r'" +(?=[,;\t\r\n]|$)')
"""A quote and spaces at the end of a cell: around cells they mean nothing."""


class Columns(NamedTuple):
    """The headings of a table's columns. A table without a column called `split` is a single split.

    group: of the groups, if there is such a column; see `data.group`.
    """

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = ""


def read_table(
    table: str,
    root: str | None = None,
    columns: Columns = Columns(),
    *,
    multi_label: bool | None = None,
    separator: str = "|",
    classes: Sequence[str] | None = None,
    also: Sequence[str] = (),
    cache: Path = Path(),
) -> ClassSet:
    """Lists the images of a CSV (UTF-8, separated by comma, semicolon or tab, with a header) or of Parquet files.

    Labels are separated by `separator`, or by commas where each of them is also the only label of another image.

    Args:
        table: path of the CSV, of the Parquet file or of a folder of Parquet files.
        root: folder or zip that its paths are relative to; None: the folder of the table. An image that does not lie at
            its path is searched by the path's end, or by its name without ending.
        columns: headings of path, label and split (`train`, `val`, `test`).
        multi_label: whether a cell has any number of classes, separated by `separator`, and an empty one none; None: if
            any cell contains the separator.
        classes: class names of a checkpoint, which the table's must equal; None: the labels found, sorted.
        also: further classes, of which there need be no images here.
        cache: folder to which images in Parquet files are copied, and in which the listing of a large CSV is kept, see
            `kept_listing`.

    Raises:
        DataError: the file, a column or images are missing, a line has no label, an image is listed twice, or a split
            is unknown.
    """
    table = os.path.expanduser(table)
    if is_parquet(table):
        *content, archive = parquet.read_rows(table, *columns[:3], separator, cache, columns.group)
        root = archive or root or (table if os.path.isdir(table) else None)
        return _listed(table, content, root, columns, multi_label, separator, classes, also)[0]

    def read() -> tuple[ClassSet, list[str]]:
        found, images = _listed(table, read_lines(table), root, columns, multi_label, separator, classes, also)
        return found, [] if images.searched else [table, *images.decisive_paths(found.splits.values())]

    places = [os.path.abspath(os.path.expanduser(path)) for path in (table, root or "")]
    known = None if classes is None else list(classes)
    options = [table, root, *columns, multi_label, separator, known, list(also)]
    return kept_listing(["table", *places, *options], read, cache)


def _listed(
    table: str,
    content: Sequence[Any],
    root: str | None,
    columns: Columns,
    multi_label: bool | None,
    separator: str,
    classes: Sequence[str] | None,
    also: Sequence[str],
) -> tuple[ClassSet, ListedImages]:
    """Returns the set, and where its images were looked up. content: the table's headings, and its numbered lines."""
    headings, lines = content
    rows = _rows(table, headings, lines, columns)
    notes: list[str] = []
    if multi_label is not False:
        separator = _separator(table, rows, separator, classes or (), notes)
    if multi_label is None:
        multi_label = any(separator in row.label for row in rows)
    if not multi_label:
        rows = _labelled(table, rows, columns.label)
    cells = {row.label for row in rows}
    names = {cell: _labels(cell, separator) if multi_label else (cell,) for cell in cells}
    known = _classes(table, rows, names, multi_label, classes, [*map(composed, also)])
    index = {composed(name): i for i, name in enumerate(known)}
    images = ListedImages(os.path.expanduser(root) if root is not None else os.path.dirname(table) or ".")
    usable = {cell for cell, labels in names.items() if index.keys() >= set(labels)}
    keys = _keys(table, [row for row in rows if row.label in usable], images)
    by_split: dict[str, list[str]] = {}
    for key in sorted(keys):
        by_split.setdefault(keys[key].split, []).append(key)
    splits = {
        split: _listing(images.root, members, [names[keys[key].label] for key in members], index, multi_label)
        for split, members in sorted(by_split.items())
    }
    groups = {key: row.group for key, row in keys.items() if row.group is not None}
    notes += order_notes(table, known)
    return ClassSet(table, known, splits, notes, groups=groups, multi_label=multi_label), images


class _Row(NamedTuple):
    line: int
    path: str
    label: str
    split: str
    group: str | None


def read_lines(table: str, header: Sequence[str] | None = None) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Returns the header of a CSV, and the number and cells of each line that is not empty, as many as in the header.

    header: of a file without one; None: its first line.

    Raises:
        DataError: the file is missing, not a CSV in UTF-8, without lines, has two columns of one name, or a line of
            another number of cells.
    """
    if not os.path.exists(table):
        raise missing(table)
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            closed = (AFTER_QUOTE.sub('"', line) if '" ' in line else line for line in file)
            reader = csv.reader(closed, delimiter=delimiter, strict=True, skipinitialspace=True)
            lines = list(_numbered(table, reader))
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{table} cannot be read as a CSV: {(error.strerror or '').lower()}") from None
    headings = list(header) if header is not None else lines.pop(0)[1] if lines else []
    if header is None and (twice := sorted({name for name in headings if name and headings.count(name) > 1})):
        raise DataError(f"{table} has several columns {twice[0]!r} (columns: {', '.join(headings)}); expected one")
    for line, cells in lines:
        if len(cells) != len(headings):
            raise DataError(
                f"{table} line {line} has {len(cells)} cells; expected {len(headings)} ({', '.join(headings)})"
            )
    if headings and not lines:
        raise DataError(f"{table} lists no images; expected a line for each below its header")
    return headings, lines


def _numbered(table: str, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the first line of each row that is not empty, and its cells."""
    line = 1
    try:
        for cells in reader:
            if any(cells):
                yield line, [plain_text(cell.strip()) for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{table} cannot be read as a CSV from line {line} on: {error}; is a quote not closed?"
        ) from None


def is_torn(cell: str) -> bool:
    """Whether a cell goes over several lines, as after a quote that is not closed."""
    return "\n" in cell or "\r" in cell


def _rows(table: str, headings: list[str], lines: Sequence[tuple[int, list[str]]], columns: Columns) -> list[_Row]:
    expected = [("path_column", columns.path), ("label_column", columns.label)]
    if columns.split != Columns().split or columns.split in map(str.lower, headings):
        expected.append(("split_column", columns.split))
    path, label, *splits = positions(table, headings, expected)
    split_column = splits[0] if splits else None
    group_column = headings.index(columns.group) if columns.group and columns.group in headings else None

    spelled = {cell: composed(cell) for cell in {cells[label] for _, cells in lines}}
    rows = []
    for line, cells in lines:
        split = "train" if split_column is None else cells[split_column].lower()
        if split not in SPLITS:
            refuse_or_keep(f"{table} line {line} has the split {split!r}; expected train, val or test")
        elif torn := next(filter(is_torn, (cells[path], cells[label])), ""):
            refuse_or_keep(f"{table} line {line} has a line break in {torn[:60]!r}; is a quote not closed?")
        elif not cells[path]:
            refuse_or_keep(f"{table} line {line} has no path in column {columns.path!r}")
        elif group_column is not None and not cells[group_column]:
            refuse_or_keep(f"{table} line {line} has no group in column {columns.group!r} (data.group)")
        else:
            group = None if group_column is None else cells[group_column]
            rows.append(_Row(line, cells[path], spelled[cells[label]], SPLITS[split], group))
    return rows


def _labelled(table: str, rows: list[_Row], column: str) -> list[_Row]:
    for row in rows:
        if not row.label:
            refuse_or_keep(
                f"{table} line {row.line} has no label in column {column!r}; expected a class "
                f"(or multi_label: true, with which an image may have none)"
            )
    return [row for row in rows if row.label]


def _separator(table: str, rows: list[_Row], usual: str, known: Sequence[str], notes: list[str]) -> str:
    """Returns what separates labels: `usual`, or a comma where each of the labels between commas is one elsewhere."""
    labels = {row.label for row in rows}
    lists = sorted(label for label in labels - set(map(composed, known)) if "," in label)
    if not lists or any(usual in label for label in labels):
        return usual
    if all(labels >= set(_labels(label, ",")) for label in lists):
        notes.append(f"{table}: labels with a comma are several classes each (first {lists[0]!r})")
        return ","
    notes.append(f"{table}: labels with a comma are one class each (first {lists[0]!r}); several are written a{usual}b")
    return usual


def positions(table: str, headings: list[str], expected: Sequence[tuple[str, str]]) -> list[int]:
    """Returns the position of each expected column; `expected` has the option that renames it, and its heading.

    Raises DataError where one is missing.
    """
    lowered, names = [heading.lower() for heading in headings], [name for _, name in expected]
    missing = [(option, name) for option, name in expected if name.lower() not in lowered]
    if missing and any(map(is_image, headings)):
        raise DataError(
            f"{table} has no header; expected a first line {','.join(names)} (its first line: {', '.join(headings)})"
        )
    if missing:
        lacking = " and ".join(f"no column {name!r}{did_you_mean(name, headings)}" for _, name in missing)
        options = " and ".join(dict.fromkeys(f"data.{option}" for option, _ in missing))
        another = "names another" if len(missing) == 1 else "name others"
        raise DataError(f"{table} has {lacking} (columns: {', '.join(headings)}; {options} {another})")
    return [headings.index(name) if name in headings else lowered.index(name.lower()) for name in names]


def _labels(cell: str, separator: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.strip() for label in cell.split(separator) if label.strip()))


def _classes(
    table: str,
    rows: list[_Row],
    names: dict[str, tuple[str, ...]],
    multi_label: bool,
    known: Sequence[str] | None,
    also: Sequence[str],
) -> list[str]:
    """names: the labels of each cell."""
    if known is not None:
        check_known(table, {name for labels in names.values() for name in labels}, [*map(composed, known)])
        return list(known)
    splits = {row.split for row in rows}
    first = "train" if "train" in splits else next((row.split for row in rows), "train")
    cells = {row.label for row in rows if row.split == first}
    trained = {*also, *(name for cell in cells for name in names[cell])}
    classes = sorted(trained)
    strange = {cell: name for cell in names for name in reversed(names[cell]) if name not in trained}
    for row in rows:
        if unknown := strange.get(row.label):
            refuse_or_keep(
                f"{table} line {row.line} has the class {unknown!r} in the {row.split} split, but {first} has no "
                f"image of it{did_you_mean(unknown, classes) or ALL_CLASSES}"
            )
    if len(classes) < (1 if multi_label else 2):
        raise DataError(f"{table} has only {len(classes)} class ({', '.join(classes)}); expected two or more")
    return classes


def _keys(table: str, rows: list[_Row], images: ListedImages) -> dict[str, _Row]:
    """Returns the rows by their path below the root, after checking that all exist and none is listed twice."""
    root = images.given
    images.look_up([row.path for row in rows if "://" not in row.path])
    found = [_find(table, row, images) for row in rows]
    if addresses := [row.path for row, key in zip(rows, found, strict=True) if key is None and "://" in row.path]:
        raise DataError(
            f"{table} lists addresses ({len(addresses)}, first {addresses[0]}); expected paths of files: download the "
            "images and list those"
        )
    if missing_paths := [row.path for row, key in zip(rows, found, strict=True) if key is None]:
        refuse_or_keep(
            f"{table} lists {len(missing_paths)} images of {len(rows)} that do not exist below {root}: "
            f"{', '.join(missing_paths[:5])}{', ...' if len(missing_paths) > 5 else ''}",
            {f"{root}/{path}: does not exist, but is listed in {table}": "" for path in missing_paths},
        )
    keys: dict[str, _Row] = {}
    for row, key in zip(rows, found, strict=True):
        if key is not None and keys.setdefault(key, row) is not row:
            refuse_or_keep(
                f"{table} line {row.line} lists {row.path} again (first in line {keys[key].line}); expected one line "
                f"per image, several classes as a|b"
            )
    return keys


def _find(table: str, row: _Row, images: ListedImages) -> str | None:
    try:
        return images.at(row.path) if "://" in row.path else images.find(row.path, "", row.split)
    except ValueError as error:
        refuse_or_keep(f"{table} line {row.line} lists {row.path}, which {error}")
        return None


def _listing(
    root: str, keys: list[str], names: list[tuple[str, ...]], index: dict[str, int], multi_label: bool
) -> Listing:
    if multi_label:
        return Listing.of(root, keys, [tuple(sorted(index[name] for name in labels)) for labels in names])
    return Listing.of(root, keys, [index[label] for (label,) in names])
