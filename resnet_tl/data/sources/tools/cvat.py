"""CVAT for images 1.1: an XML file with the boxes, polygons, ellipses and masks of all images."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.tools.document import Document, Made, Reading
from resnet_tl.data.sources.tools.shapes import bitmap, ellipse, polygon, rotated_rectangle
from resnet_tl.errors import DataError

NOT_SHAPES = ("tag", "attribute")
"""Elements of an image that are not shapes."""


def is_export(tree: ElementTree.Element) -> bool:
    return tree.tag == "annotations" and (tree.find("image") is not None or tree.find("track") is not None)


def parse(path: str) -> ElementTree.Element | None:
    """The XML; None where it is none. Raises DataError for a file that cannot be read."""
    try:
        return ElementTree.fromstring(read_bytes(path))
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None


def read(reading: Reading) -> None:
    for file in sorted(file for file in reading.tree.files if file.lower().endswith(".xml")):
        path = f"{reading.tree.root}/{file}"
        tree = parse(path)
        if tree is None or not is_export(tree):
            continue
        if tree.find("image") is None:
            raise DataError(f"{path}: holds tracks of a video; export it as 'CVAT for images 1.1'")
        for element in tree.iter("image"):
            _read_image(reading, path, element)


def _read_image(reading: Reading, path: str, element: ElementTree.Element) -> None:
    name = element.get("name", "")
    document = Document(name, f"{path}: {name or 'an image without a name'}", _size(element))
    document.split = SPLITS.get(element.get("subset", "").lower())
    for number, shape in enumerate((child for child in element if child.tag not in NOT_SHAPES), 1):
        reading.draw(document, f"shape {number}", _shape, shape, document.size)
    reading.documents.append(document)


def _size(element: ElementTree.Element) -> tuple[int, int] | None:
    height, width = element.get("height", ""), element.get("width", "")
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None


def _shape(reading: Reading, element: ElementTree.Element, size: tuple[int, int] | None) -> Made:
    label, kind = element.get("label", ""), element.tag

    def numbers(*names: str) -> Any:
        return [
            float(element.get(name) or 0) if name == "rotation" else float(_required(element, name)) for name in names
        ]

    if kind == "box":
        return label, rotated_rectangle(*numbers("xtl", "ytl", "xbr", "ybr", "rotation"))
    if kind == "polygon":
        pairs = (pair.split(",") for pair in _required(element, "points").split(";"))
        return label, polygon([[float(x), float(y)] for x, y in pairs])
    if kind == "ellipse":
        return label, ellipse(*numbers("cx", "cy", "rx", "ry", "rotation"))
    if kind == "mask":
        if size is None:
            raise ValueError("has a mask, but its image has no width and height")
        left, top, width, height = (int(number) for number in numbers("left", "top", "width", "height"))
        return label, bitmap(_mask(_required(element, "rle"), height, width), left, top, size)
    reading.skipped[kind] += 1
    return None


def _mask(text: str, height: int, width: int) -> Any:
    """Run lengths row by row, outside first, as pixels `[height, width]`."""
    counts = np.array([int(number) for number in text.split(",")], np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"has a mask of {counts.sum()} pixels; expected {width} x {height}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


def _required(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise ValueError(f"has no {name}")
    return value
