"""Images and their labels in a CSV: one line an image, one label or several (`cat|indoors`)."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.sources.folder import SPLITS, check_known
from resnet_tl.data.sources.tree import missing, walk
from resnet_tl.errors import DataError, did_you_mean


class Columns(NamedTuple):
    """The names of a table's columns. One without a column called `split` is read as a single split."""

    path: str = "path"
    label: str = "label"
    split: str = "split"


def read_table(
    table: str,
    root: str | None = None,
    columns: Columns = Columns(),
    *,
    multi_label: bool | None = None,
    separator: str = "|",
    classes: Sequence[str] | None = None,
) -> ClassSet:
    """List the images of a CSV (UTF-8, fields parted by comma, semicolon or tab, a header line).

    Args:
        table: the CSV file.
        root: folder or zip below which its paths lie; None: the CSV's own folder.
        columns: of path, label and split (`train`, `val`, `test`).
        multi_label: whether a cell holds any number of classes, parted by `separator`, and an empty one none;
            None: if any does.
        classes: a checkpoint's, with which the table's must agree; None: the labels found, sorted.

    Raises:
        DataError: file, column or images missing, a line without label, an image twice, an unknown split.
    """
    rows = _read_rows(os.path.expanduser(table), columns)
    if multi_label is None:
        multi_label = any(separator in row.label for row in rows)
    if not multi_label and (bare := [row for row in rows if not row.label]):
        raise DataError(
            f"{table} line {bare[0].line} has no label in column {columns.label!r}; expected a class "
            f"(or multi_label: true, where no class may be true)"
        )
    names = [_parts(row.label, separator) if multi_label else (row.label,) for row in rows]
    known = _classes(table, rows, names, multi_label, classes)
    index = {name: i for i, name in enumerate(known)}
    below = os.path.expanduser(root) if root is not None else os.path.dirname(os.path.expanduser(table)) or "."
    below, keys = _keys(table, rows, below)
    parts: dict[str, list[int]] = {}
    for i in sorted(range(len(rows)), key=keys.__getitem__):
        parts.setdefault(rows[i].split, []).append(i)
    splits = {
        split: _listing(below, [keys[i] for i in members], [names[i] for i in members], index, multi_label)
        for split, members in sorted(parts.items())
    }
    return ClassSet(table, known, splits, multi_label=multi_label)


class _Row(NamedTuple):
    line: int
    path: str
    label: str
    split: str


def read_lines(table: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The headings of a CSV, and of each line that is not empty its number and its cells, as many as headings.

    Raises:
        DataError: missing, no CSV in UTF-8, a line of another number of cells, no lines.
    """
    if not os.path.exists(table):
        raise missing(table)
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            found = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            reader = csv.reader(file, delimiter=delimiter)
            lines = [(reader.line_num + 1, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except (IsADirectoryError, PermissionError, csv.Error) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{table} cannot be read as a CSV: {reason}") from None
    for line, cells in lines:
        if len(cells) != len(found):
            raise DataError(f"{table} line {line} has {len(cells)} cells; expected {len(found)} ({', '.join(found)})")
    if found and not lines:
        raise DataError(f"{table} lists no images; expected a line for each below its header")
    return found, lines


def _read_rows(table: str, columns: Columns) -> list[_Row]:
    found, lines = read_lines(table)
    path = _column(table, found, columns.path, "path_column")
    label = _column(table, found, columns.label, "label_column")
    own_split = columns.split != Columns().split or columns.split in found
    split = _column(table, found, columns.split, "split_column") if own_split else None

    def row(line: int, cells: list[str]) -> _Row:
        part = "train" if split is None else cells[split].lower()
        if part not in SPLITS:
            raise DataError(f"{table} line {line} has the split {part!r}; expected train, val or test")
        if not cells[path]:
            raise DataError(f"{table} line {line} has no path in column {columns.path!r}")
        return _Row(line, cells[path], cells[label], SPLITS[part])

    return [row(line, cells) for line, cells in lines]


def _column(table: str, found: list[str], name: str, option: str) -> int:
    if name not in found:
        raise DataError(
            f"{table} has no column {name!r}{did_you_mean(name, found)} (columns: {', '.join(found)}; "
            f"another can be named by data.{option})"
        )
    return found.index(name)


def _parts(cell: str, separator: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in cell.split(separator) if part.strip()))


def _classes(
    table: str, rows: list[_Row], names: list[tuple[str, ...]], multi_label: bool, known: Sequence[str] | None
) -> list[str]:
    if known is not None:
        check_known(table, {name for labels in names for name in labels}, known)
        return list(known)
    first = "train" if any(row.split == "train" for row in rows) else rows[0].split
    classes = sorted({name for row, labels in zip(rows, names, strict=True) if row.split == first for name in labels})
    for row, labels in zip(rows, names, strict=True):
        if strange := [name for name in labels if name not in classes]:
            raise DataError(
                f"{table} line {row.line} has the class {strange[0]!r} in the {row.split} split, but {first} has no "
                f"image of it{did_you_mean(strange[0], classes)}"
            )
    if len(classes) < (1 if multi_label else 2):
        raise DataError(f"{table} has only {len(classes)} class ({', '.join(classes)}); expected two or more")
    return classes


def _keys(table: str, rows: list[_Row], root: str) -> tuple[str, list[str]]:
    """The root proper and each row's path below it, once all are known to exist, each once."""
    keys = [below(root, row.path) for row in rows]
    tree_root, exists = existence(root)
    if lost := [row.path for row, key in zip(rows, keys, strict=True) if not exists(key)]:
        raise DataError(
            f"{table} lists {len(lost)} images of {len(rows)} that do not exist below {root}: "
            f"{', '.join(lost[:5])}{', ...' if len(lost) > 5 else ''}"
        )
    lines: dict[str, int] = {}
    for row, key in zip(rows, keys, strict=True):
        if lines.setdefault(key, row.line) != row.line:
            raise DataError(
                f"{table} line {row.line} lists {row.path} again (first in line {lines[key]}); expected one line a "
                f"image, several classes as a|b"
            )
    return tree_root, keys


def below(root: str, path: str) -> str:
    """The path of a cell as a key: relative to the root where it lies below it, with `/`."""
    path = path.replace("\\", "/")
    if os.path.isabs(path):
        inside = os.path.relpath(path, os.path.abspath(root))
        return path if inside.startswith("..") else inside
    return os.path.normpath(path)


def existence(root: str) -> tuple[str, Callable[[str], bool]]:
    """The root proper (of a zip its path), and whether a key is a file below it."""
    if os.path.isdir(root):
        return root, lambda key: os.path.isfile(os.path.join(root, key))
    tree = walk(root)
    return tree.root, set(tree.files).__contains__


def _listing(
    root: str, keys: list[str], names: list[tuple[str, ...]], index: dict[str, int], multi_label: bool
) -> Listing:
    if multi_label:
        return Listing.of(root, keys, [tuple(sorted(index[name] for name in labels)) for labels in names])
    return Listing.of(root, keys, [index[label] for (label,) in names])
