"""COCO's format: json files of images, categories and objects with boxes, polygons or run lengths."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.listings.faults import raise_if_any
from resnet_tl.data.sources.annotations import (
    HUGE,
    BoxListingBuilder,
    annotated_size,
    box_set,
    find_elsewhere,
    in_fractions,
)
from resnet_tl.data.sources.coco_layout import annotation_files, image_folder, joined
from resnet_tl.data.sources.coco_masks import polygons, run_lengths
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.text_files import read_json
from resnet_tl.data.sources.tree import walk
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask
from resnet_tl.structures.records import Code

T = TypeVar("T")


class Category(NamedTuple):
    """code: the id, as it is in the file."""

    code: Code
    name: str


def read_coco(
    root: str,
    annotations: Mapping[str, str] | None = None,
    images: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
    *,
    keep_empty: bool = False,
) -> BoxSet:
    """Reads a folder with annotations in COCO's format, as published or as other tools write them.

    Args:
        root: that folder.
        annotations: the json of each split (`train`, `val`, `test`), below `root` or anywhere; None: the files whose
            names or folders contain a split's name, `instances*.json` first; a single file of another name is `train`.
        images: the folder below `root` that file names are relative to; None: found by the images in it.
        classes: class names of a checkpoint, which the set's must equal; None: the set's own.
        channels: of the images.
        keep_empty: keep categories without an object in any split; see `box_set`.

    Classes are the categories in the order of their ids; the ids are the set's `codes`. An id is a whole number or
    text; `1` and `"1"` are the same.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    files = dict(annotations) if annotations is not None else annotation_files(tree)
    documents = {split: document for split, file in files.items() if (document := _load(file, findings))}
    found = _agreed(
        {files[split]: _categories(files[split], documents[split], findings) for split in documents}, findings
    )
    ids = sorted(found, key=_order)
    if not ids:
        raise_if_any(tree.root, findings.faults)
    names = [found[number].name for number in ids]
    index = {number: i for i, number in enumerate(ids)}
    boxes = (a.get("bbox") for document in documents.values() for a in document["annotations"])
    fractions = in_fractions(chain.from_iterable(map(_numbers, boxes)), findings)
    there, finder, builders = set(tree.files), ImageFinder(tree), {}
    for split in list(documents):
        document = documents.pop(split)  # frees it afterwards: as Python objects it is large
        reader = _Reader(files[split], split, document, finder, findings, fractions)
        folder = images if images is not None else image_folder(tree, split, files[split], document["images"])
        builders[split] = reader.read(folder, there, names, index, channels)
    codes = [found[number].code for number in ids]
    return box_set(findings, builders, names, codes, known=classes, keep_empty=keep_empty)


class _Reader:
    """Reads the images and annotations of one json file."""

    def __init__(
        self,
        file: str,
        split: str,
        document: dict[str, Any],
        finder: ImageFinder,
        findings: Findings,
        fractions: bool,
    ) -> None:
        self.path, self.split, self.document = posixpath.join(findings.root, file), split, document
        self.finder, self.findings, self.fractions = finder, findings, fractions
        self.rows: dict[str | None, int | None] = {}
        """Image id -> index of its entry; None where its file does not exist."""

    def read(
        self, folder: str, there: set[str], classes: Sequence[str], index: dict[str, int], channels: int
    ) -> BoxListingBuilder:
        self.builder = BoxListingBuilder(self._entries(folder, there), classes, channels, self.findings)
        seen: set[str] = set()
        for number, annotation in enumerate(self.document["annotations"]):
            name = f"annotation {annotation.get('id', f'number {number}')}"
            code = _id(annotation, "id")
            if code is not None:
                if code in seen:
                    self.fault(f"{name} has the id of another annotation")
                seen.add(code)
            self._add(annotation, index, name)
        return self.builder

    def fault(self, sentence: str, row: int | None = None) -> None:
        """row: index of the image's entry, if it is about one."""
        self.findings.faults.append(f"{self.path}: {sentence}")
        if row is not None:
            self.findings.images[self.findings.faults[-1]] = self.builder.entries[row].key

    def _entries(self, folder: str, there: set[str]) -> list[Entry]:
        entries: list[Entry] = []
        first: dict[str, str] = {}
        for image in self.document["images"]:
            number, file_name = _id(image, "id"), image.get("file_name")
            if number is None or not isinstance(file_name, str):
                self.fault(f"the image {_shortened(image)} lacks id or file_name")
                continue
            if number in self.rows:
                self.fault(f"two images have the id {number}")
                continue
            self.rows[number] = None
            key = self._try(f"image {number} is {file_name}, which", None, self._key, file_name, folder, there)
            if key is None:
                continue
            if first.setdefault(key, number) != number:
                self.fault(f"images {first[key]} and {number} are both {file_name}")
            else:
                self.rows[number] = len(entries)
                entries.append(Entry(key, self._size(image), f"{self.path}: image {number} ({file_name})"))
        return entries

    def _key(self, file_name: str, folder: str, there: set[str]) -> str:
        key = joined(folder, file_name)
        found = key if key in there else find_elsewhere(self.finder, file_name, folder, self.split)
        if found is None:
            raise ValueError(f"does not exist in {posixpath.join(self.findings.root, folder).rstrip('/')}")
        return found

    def _size(self, image: dict[str, Any]) -> tuple[int, int] | None:
        return self._try(f"image {image['id']}", None, annotated_size, image.get("height"), image.get("width"))

    def _add(self, annotation: dict[str, Any], index: dict[str, int], name: str) -> None:
        image, category = _id(annotation, "image_id"), _id(annotation, "category_id")
        row = self.rows.get(image)
        if image not in self.rows:
            self.fault(f"{name} has the image_id {image}, which is not listed")
        if category not in index:
            self.fault(f"{name} has the category {category}, which is not listed", row)
        box = self._try(name, row, _corners, annotation.get("bbox"))
        if row is None or box is None:
            return
        if self.fractions:
            height, width = self.builder.file_size(row)
            box = [box[0] * width, box[1] * height, box[2] * width, box[3] * height]
        self.builder.add(
            row,
            index.get(category or ""),
            box,
            name,
            crowd=annotation.get("iscrowd") in (1, "1"),
            area=float("nan") if self.fractions else _number(annotation.get("area")),
            mask=self._try(name, row, self._mask, annotation.get("segmentation"), row),
        )

    def _try(self, name: str, row: int | None, read: Callable[..., T], *values: Any) -> T | None:
        """Returns `read(*values)`; None after recording a fault where it raises ValueError."""
        try:
            return read(*values)
        except ValueError as error:
            self.fault(f"{name} {error}", row)
            return None

    def _mask(self, segmentation: Any, row: int) -> Mask | None:
        if isinstance(segmentation, dict):
            size = self.builder.entries[row].size or self.builder.file_size(row)
            return run_lengths(segmentation, size)
        if segmentation and not isinstance(segmentation, list):
            raise ValueError("has a segmentation that is neither polygons nor run lengths")
        return polygons(segmentation, self.builder.file_size(row) if self.fractions else None) if segmentation else None


def _load(file: str, findings: Findings) -> dict[str, Any] | None:
    path = posixpath.join(findings.root, file)
    try:
        document = read_json(path)
    except DataError as error:
        findings.faults.append(str(error))
        return None
    lists = ("images", "annotations", "categories")
    missing = [name for name in lists if not isinstance(document, dict) or not _is_list(document.get(name))]
    if missing:
        findings.faults.append(f"{path}: has no list of {' and none of '.join(missing)}; expected COCO's json")
        return None
    return document


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _categories(file: str, document: dict[str, Any], findings: Findings) -> dict[str, Category]:
    """Returns the categories by id."""
    found: dict[str, Category] = {}
    for category in document["categories"]:
        code, name, number = category.get("id"), category.get("name"), _id(category, "id")
        problem = None
        if number is None or not isinstance(code, int | str) or not isinstance(name, str):
            problem = f"the category {_shortened(category)} lacks an id (a whole number or text) or a name"
        elif number in found:
            problem = f"two categories have the id {number}"
        elif name in (other.name for other in found.values()):
            problem = f"two categories are called {name!r}"
        else:
            found[number] = Category(code, name)
        if problem:
            findings.faults.append(f"{posixpath.join(findings.root, file)}: {problem}")
    return found


def _agreed(by_file: dict[str, dict[str, Category]], findings: Findings) -> dict[str, Category]:
    """Returns the categories of the first file, which every file must have."""
    names = {file: {number: category.name for number, category in found.items()} for file, found in by_file.items()}
    first, *others = by_file or [""]
    for other in others:
        if names[other] != names[first]:
            findings.faults.append(
                f"{posixpath.join(findings.root, other)}: lists other categories than {first} "
                f"({_difference(names[other], names[first])})"
            )
    return by_file.get(first, {})


def _difference(names: dict[str, str], others: dict[str, str]) -> str:
    number = min((each for each in names.keys() | others.keys() if names.get(each) != others.get(each)), key=_order)
    return f"{number} is {names.get(number, 'none')!r} and not {others.get(number, 'none')!r}"


def _id(row: dict[str, Any], key: str) -> str | None:
    """Returns the id in `row[key]` as text, in which 1, 1.0 and "1" are the same; None where it is not an id."""
    value = row.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float | str) else None


def _order(number: str) -> tuple[bool, float, str]:
    """Sorts ids: numbers by value, before text."""
    is_number = number.removeprefix("-").isdecimal()
    return not is_number, float(number) if is_number else 0.0, number


def _shortened(value: Any) -> str:
    try:
        return json.dumps(value)[:80]
    except RecursionError:  # nested almost as deep as can be read
        return "{...}"


def _corners(box: Any) -> list[float]:
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"has the box {_shortened(box)}; expected four finite numbers") from None
    return [x, y, x + width, y + height]


def _numbers(box: Any) -> list[float]:
    """Returns the numbers of a box; none of one that is malformed, which becomes a fault elsewhere."""
    try:
        return _corners(box)
    except ValueError:
        return []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < HUGE else float("nan")
