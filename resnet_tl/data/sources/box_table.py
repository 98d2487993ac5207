"""Boxes in a CSV: one line per box, or a line without a box for an image without objects."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import BoxListingBuilder, annotated_size, box_set, in_fractions
from resnet_tl.data.sources.box_columns import GROUP, SIDES, Line, box_numbers, read_box_lines
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.forms import box_tables
from resnet_tl.data.sources.listed_images import ListedImages
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.split_files import files_by_split
from resnet_tl.data.sources.table import is_torn, read_lines
from resnet_tl.data.sources.tree import walk
from resnet_tl.errors import DataError, did_you_mean
from resnet_tl.structures.records import Code

Lines: TypeAlias = dict[str, dict[str, list[Line]]]
"""By split and key of the image."""
CLASS_FILE = re.compile(r"(^|/)(classes|[^/]*class-descriptions[^/]*)\.csv$")
"""OpenImages' names of classes, as published or stored by FiftyOne."""


def read_box_table(
    table: str,
    root: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    columns: Sequence[str] | None = None,
    keep_empty: bool = False,
    group: str | None = None,
) -> BoxSet:
    """Reads a CSV (UTF-8, separated by comma, semicolon or tab) with the columns path, label, x1, y1, x2, y2 and
    optionally split, width and height of the image; see `HEADINGS` for other names, those of OpenImages among them.

    Corners are in pixels from the upper left of the image, on pixel edges: a box around all of it is 0, 0, width,
    height. They are fractions where all of them are between 0 and 1. A line with only a path is an image without
    objects. An image that does not lie at its path is searched by the path's end, or by its name without ending.

    Args:
        table: path of that file, or of a folder with a CSV for each split, whose name or folder contains the split's.
        root: folder or zip that its paths are relative to; None: the folder of the CSV.
        classes: class names of a checkpoint, which must include the table's; None: the labels of the training images,
            sorted. OpenImages' ids are named by `class-descriptions-boxable.csv` or `classes.csv` near the table.
        channels: of the images.
        columns: of a CSV without a header, in their order.
        keep_empty: keep classes without an object in any split; see `box_set`.
        group: heading of the column of groups, if there is one; see `data.group`.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    table = os.path.expanduser(table)
    tables = _tables(table)
    folder = table if os.path.isdir(table) else os.path.dirname(table) or "."
    root = os.path.expanduser(root) if root is not None else folder
    images = ListedImages(root)
    findings = Findings(images.root, table)
    by_split: Lines = {}
    for split, file in tables.items():
        lines = read_box_lines(file, columns, group)
        base = os.path.relpath(os.path.dirname(file) or ".", root) if root == folder else ""
        _by_image(lines, split, "" if base == "." else base, images, by_split, findings)
    every = [line for found in by_split.values() for lines in found.values() for line in lines]
    fractions = in_fractions(box_numbers(every), findings)
    _name_classes(every, folder, findings)
    names = list(classes) if classes is not None else _classes(by_split)
    builders = {}
    for split, found in sorted(by_split.items()):
        entries = [Entry(key, _size(lines, findings), f"{table}: {key}") for key, lines in found.items()]
        builders[split] = BoxListingBuilder(entries, names, channels, findings)
        for row, lines in enumerate(found.values()):
            _add(builders[split], row, [line for line in lines if line.has_box], fractions, findings)
    codes: list[Code] = [*range(len(names))]
    groups = {} if group is None else _groups(by_split, group, findings)
    found_set = box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)
    return replace(found_set, groups=groups)


def _groups(by_split: Lines, column: str, findings: Findings) -> dict[str, str]:
    """Returns the group of each image, as its lines say; empty where there is no such column."""
    groups: dict[str, str] = {}
    for key, lines in chain.from_iterable(found.items() for found in by_split.values()):
        named = {line.cells[GROUP] for line in lines if GROUP in line.cells}
        if "" in named or len(named) > 1:
            findings.faults.append(f"{lines[0].place} or another of its image has no group in {column!r}, or several")
        groups |= dict.fromkeys([key] if named else [], min(named, default=""))
    return groups


def _tables(table: str) -> dict[str, str]:
    """Returns the CSV of each split; of a single file, lines without a split are `train`."""
    if not os.path.isdir(table):
        return {"train": table}
    tree = walk(table)
    files = box_tables(tree)
    if not files:
        raise DataError(f"{table} holds no CSV with columns of boxes; expected one for each split")
    return {split: f"{table}/{file}" for split, file in files_by_split(table, files, "data.csv").items()}


def _by_image(
    lines: Sequence[Line], split: str, base: str, images: ListedImages, by_split: Lines, findings: Findings
) -> None:
    """Adds lines to those of their split and image; `split` is that of lines that have none."""
    keys: dict[str, str | None] = {}
    for line in lines:
        path, own = line.cells["path"], line.cells["split"].lower() or split
        if torn := next(filter(is_torn, (path, line.cells["label"])), ""):
            findings.faults.append(f"{line.place} has a line break in {torn[:60]!r}; is a quote not closed?")
        elif not path:
            findings.faults.append(f"{line.place} has no path")
        elif own not in SPLITS:
            findings.faults.append(f"{line.place} has the split {own!r}; expected train, val or test")
        else:
            try:
                key = keys[path] = keys[path] if path in keys else images.find(path, base, SPLITS[own])
            except ValueError as error:
                findings.faults.append(f"{line.place} lists {path}, which {error}")
                continue
            if key is None:
                findings.faults.append(f"{line.place} lists {path}, which does not exist below {images.root}")
            else:
                by_split.setdefault(SPLITS[own], {}).setdefault(key, []).append(line)


def _add(builder: BoxListingBuilder, row: int, lines: list[Line], fractions: bool, findings: Findings) -> None:
    index = {name: i for i, name in enumerate(builder.classes)}
    height, width = builder.file_size(row) if fractions else (1, 1)
    for place, cells in lines:
        label = cells["label"]
        try:
            x1, y1, x2, y2 = (float(cells[side]) for side in SIDES)
        except ValueError:
            sides = ", ".join(cells[side] for side in SIDES)
            findings.faults.append(f"{place} has the box {sides}; expected four numbers")
            continue
        if label not in index:
            findings.faults.append(f"{place} has the label {label!r}, which is not a class{did_you_mean(label, index)}")
        box = [x1 * width, y1 * height, x2 * width, y2 * height]
        number = place.rpartition(": ")[2]
        builder.add(row, index.get(label), box, number, crowd=cells["crowd"] == "1")


def _name_classes(lines: Sequence[Line], folder: str, findings: Findings) -> None:
    """Replaces OpenImages' ids of classes (`/m/0cat`) by their names, where a file describes them."""
    if not any(line.cells["label"].startswith("/m/") for line in lines):
        return
    files = [file for file in walk(folder).files if CLASS_FILE.search(file)]
    names: dict[str, str] = {}
    for file in sorted(files):
        names |= {number: name for _, (number, name) in read_lines(f"{folder}/{file}", ("id", "name"))[1]}
    if not files:
        findings.notes.append(
            f"{findings.name}: the classes are OpenImages' ids; class-descriptions-boxable.csv next to it gives names"
        )
    for line in lines:
        line.cells["label"] = names.get(line.cells["label"], line.cells["label"])


def _size(lines: list[Line], findings: Findings) -> tuple[int, int] | None:
    """Returns (h, w) of an image as its lines give it; None where they do not."""
    try:
        sizes = {annotated_size(line.cells["height"], line.cells["width"]) for line in lines} - {None}
    except ValueError as error:
        findings.faults.append(f"{lines[0].place} or another of its image {error}")
        return None
    if len(sizes) > 1:
        findings.faults.append(f"{lines[0].place} and others of its image give no size, or several")
        return None
    return sizes.pop() if sizes else None


def _classes(by_split: Lines) -> list[str]:
    first = "train" if "train" in by_split else next(iter(by_split), "")
    images = by_split.get(first, {}).values()
    return sorted({line.cells["label"] for lines in images for line in lines if line.cells["label"]})
