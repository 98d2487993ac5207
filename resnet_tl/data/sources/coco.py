"""COCO's json: images, categories and objects with boxes, polygons or run lengths."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.annotations import HUGE, BoxListingBuilder, box_set, in_order_of
from resnet_tl.data.sources.coco_layout import annotation_files, image_folder, joined
from resnet_tl.data.sources.findings import Findings, raise_if_any
from resnet_tl.data.sources.orientation import Entry
from resnet_tl.data.sources.tree import walk
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import Mask, RunLengths, decompress


def read_coco(
    root: str,
    annotations: Mapping[str, str] | None = None,
    images: str | None = None,
    classes: Sequence[str] | None = None,
    channels: int = 3,
) -> BoxSet:
    """A folder with COCO's annotations, as published or as others write them.

    Args:
        root: that folder.
        annotations: the json of each split (`train`, `val`, `test`), below `root` or anywhere; None: the files whose
            names, or whose folders' names, say a split, `instances*.json` first; a lone file of another name is all.
        images: the folder below `root` that the file names start from; None: where the images are.
        classes: a checkpoint's, which must be the set's; None: the set's own.
        channels: of the images.

    Classes are the categories in the order of their ids; those ids are the set's `codes`.

    Raises:
        DataError: one, with everything that is wrong with the set.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    files = dict(annotations) if annotations is not None else annotation_files(tree)
    documents = {split: document for split, file in files.items() if (document := _load(file, findings))}
    categories = _agreed(
        {files[split]: _categories(files[split], documents[split], findings) for split in documents}, findings
    )
    own = sorted(categories)
    if not own:
        raise_if_any(tree.root, findings.faults)
    names, codes = in_order_of(tree.root, [categories[code] for code in own], own, classes)
    there, builders = set(tree.files), {}
    for split in list(documents):
        document = documents.pop(split)  # as Python objects it is large
        reader = _Reader(files[split], document, findings)
        folder = images if images is not None else image_folder(tree, split, files[split], document["images"])
        builders[split] = reader.read(folder, there, names, codes, channels)
    return box_set(findings, builders, names, codes)


T = TypeVar("T")


class _Reader:
    """One json file."""

    def __init__(self, file: str, document: dict[str, Any], findings: Findings) -> None:
        self.path, self.document, self.findings = posixpath.join(findings.root, file), document, findings
        self.rows: dict[Any, int | None] = {}
        """Of each image's id, its place among the entries; None where its file is missing."""

    def read(
        self, folder: str, there: set[str], classes: Sequence[str], codes: Sequence[int], channels: int
    ) -> BoxListingBuilder:
        self.builder = BoxListingBuilder(self._entries(folder, there), classes, channels, self.findings)
        index: dict[Any, int] = {code: i for i, code in enumerate(codes)}
        seen: set[Any] = set()
        for number, annotation in enumerate(self.document["annotations"]):
            name = f"annotation {annotation.get('id', f'number {number}')}"
            code = _id(annotation, "id")
            if code is not None and code in seen:
                self.fault(f"{name} has an id that another one has")
            seen.add(code)
            self._add(annotation, index, name)
        return self.builder

    def fault(self, sentence: str) -> None:
        self.findings.faults.append(f"{self.path}: {sentence}")

    def _entries(self, folder: str, there: set[str]) -> list[Entry]:
        entries: list[Entry] = []
        first: dict[str, Any] = {}
        for image in self.document["images"]:
            number, file_name = _id(image, "id"), image.get("file_name")
            if number is None or not isinstance(file_name, str):
                self.fault(f"the image {json.dumps(image)[:80]} lacks id or file_name")
                continue
            if number in self.rows:
                self.fault(f"two images have the id {number}")
                continue
            key = joined(folder, file_name)
            self.rows[number] = None
            if key not in there:
                where = posixpath.join(self.findings.root, folder).rstrip("/")
                self.fault(f"image {number} is {file_name}, which does not exist in {where}")
            elif first.setdefault(key, number) != number:
                self.fault(f"images {first[key]} and {number} are both {file_name}")
            else:
                self.rows[number] = len(entries)
                entries.append(Entry(key, self._size(image), f"{self.path}: image {number} ({file_name})"))
        return entries

    def _size(self, image: dict[str, Any]) -> tuple[int, int] | None:
        height, width = image.get("height"), image.get("width")
        if not height or not width:
            return None
        try:
            return int(height), int(width)
        except (TypeError, ValueError, OverflowError):
            self.fault(f"image {image['id']} has the size {width} x {height}; expected whole numbers")
            return None

    def _add(self, annotation: dict[str, Any], index: dict[Any, int], name: str) -> None:
        image, category = _id(annotation, "image_id"), _id(annotation, "category_id")
        if image not in self.rows:
            self.fault(f"{name} is of image {image}, which is not listed")
        if category not in index:
            self.fault(f"{name} has the category {category}, which is not listed")
        box = self._tried(name, _corners, annotation.get("bbox"))
        row = self.rows.get(image)
        if row is None or box is None:
            return
        self.builder.add(
            row,
            index.get(category),
            box,
            name,
            crowd=annotation.get("iscrowd") in (1, "1"),
            area=_number(annotation.get("area")),
            mask=self._tried(name, self._mask, annotation.get("segmentation"), row),
        )

    def _tried(self, name: str, read: Callable[..., T], *values: Any) -> T | None:
        """What `read` makes of the values; None where it finds a fault."""
        try:
            return read(*values)
        except ValueError as error:
            self.fault(f"{name} {error}")
            return None

    def _mask(self, segmentation: Any, row: int) -> Mask | None:
        if isinstance(segmentation, dict):
            size = self.builder.entries[row].size or self.builder.file_size(row)
            return _run_lengths(segmentation, size)
        if segmentation and not isinstance(segmentation, list):
            raise ValueError("has a segmentation that is neither polygons nor run lengths")
        return _polygons(segmentation) if segmentation else None


def _load(file: str, findings: Findings) -> dict[str, Any] | None:
    path = posixpath.join(findings.root, file)
    try:
        document = json.loads(read_bytes(path))
    except DataError as error:
        findings.faults.append(str(error))
    except (UnicodeDecodeError, ValueError) as error:
        findings.faults.append(f"{path}: is no valid json ({error})")
    else:
        lists = ("images", "annotations", "categories")
        lacking = [name for name in lists if not isinstance(document, dict) or not _is_list(document.get(name))]
        if not lacking:
            return document
        findings.faults.append(f"{path}: has no list of {' and none of '.join(lacking)}; expected COCO's json")
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _categories(file: str, document: dict[str, Any], findings: Findings) -> dict[int, str]:
    """Names by id."""
    found: dict[int, str] = {}
    for category in document["categories"]:
        code, name = category.get("id"), category.get("name")
        problem = None
        if not isinstance(code, int) or not isinstance(name, str):
            problem = f"the category {json.dumps(category)[:80]} lacks an id (a whole number) or a name"
        elif code in found:
            problem = f"two categories have the id {code}"
        elif name in found.values():
            problem = f"two categories are called {name!r}"
        else:
            found[code] = name
        if problem:
            findings.faults.append(f"{posixpath.join(findings.root, file)}: {problem}")
    return found


def _agreed(by_file: dict[str, dict[int, str]], findings: Findings) -> dict[int, str]:
    """The categories of the first file, which are to be every file's."""
    first, *others = by_file or [""]
    for other in others:
        if by_file[other] != by_file[first]:
            findings.faults.append(
                f"{posixpath.join(findings.root, other)}: lists other categories than {first} "
                f"({_difference(by_file[other], by_file[first])})"
            )
    return by_file.get(first, {})


def _difference(some: dict[int, str], others: dict[int, str]) -> str:
    code = min(code for code in some.keys() | others.keys() if some.get(code) != others.get(code))
    return f"{code} is {some.get(code, 'none')!r} and not {others.get(code, 'none')!r}"


def _id(row: dict[str, Any], key: str) -> int | float | str | None:
    """None where it is none."""
    value = row.get(key)
    return value if isinstance(value, int | float | str) else None


def _corners(box: Any) -> list[float]:
    try:
        x, y, width, height = map(float, box)
    except (TypeError, ValueError):
        raise ValueError(f"has the box {json.dumps(box)[:80]}; expected four finite numbers") from None
    return [x, y, x + width, y + height]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < HUGE else float("nan")


def _polygons(segmentation: Any) -> Mask | None:
    """None where no polygon has three corners."""
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    try:
        points = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    except (TypeError, ValueError):
        raise ValueError("has a polygon that is no list of x, y, x, y ...") from None
    if not all((np.abs(polygon) < HUGE).all() for polygon in points):
        raise ValueError("has a polygon with a corner that is no finite number")
    return [polygon.astype(np.float32) for polygon in points if len(polygon) > 2] or None


def _run_lengths(segmentation: dict[str, Any], size: tuple[int, int]) -> RunLengths:
    counts, said = segmentation.get("counts"), segmentation.get("size")
    if said != list(size):
        raise ValueError(f"has a mask of {said} (h, w), but its image is {list(size)}")
    try:
        mask = decompress(counts, size) if isinstance(counts, str) else RunLengths(np.array(counts, np.int64), size)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("has a mask that is neither run lengths nor COCO's text of them") from None
    if mask.counts.sum() != size[0] * size[1] or (mask.counts < 0).any():
        raise ValueError(f"has a mask whose run lengths are not those of {size[0]} x {size[1]} (h, w) pixels")
    return mask
