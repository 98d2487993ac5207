"""CVAT for images 1.1: an XML file with the boxes, polygons, ellipses and masks of all images."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np

from resnet_tl.data.sources.annotations import annotated_size
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.text_files import read_xml
from resnet_tl.data.sources.tools.document import Document, Made, Reading, xml_files
from resnet_tl.data.sources.tools.shapes import bitmap, ellipse, polygon, rotated_rectangle
from resnet_tl.errors import DataError

NOT_SHAPES = ("tag", "attribute")
"""Elements of an image that are not shapes."""


def is_export(tree: ElementTree.Element) -> bool:
    return tree.tag == "annotations" and (tree.find("image") is not None or tree.find("track") is not None)


def read(reading: Reading) -> None:
    for file in xml_files(reading.tree):
        path = f"{reading.tree.root}/{file}"
        try:
            tree = read_xml(path)
        except DataError as error:
            reading.findings.faults.append(str(error))
            continue
        if not is_export(tree):
            continue
        if tree.find("image") is None:
            raise DataError(f"{path}: holds tracks of a video; export it as 'CVAT for images 1.1'")
        for number, element in enumerate(tree.iter("image"), 1):
            source = f"{path}: {element.get('name') or f'image {number} without a name'}"
            reading.parse(source, _read_image, source, element)


def _read_image(reading: Reading, source: str, element: ElementTree.Element) -> None:
    size = annotated_size(element.get("height"), element.get("width"))
    document = Document(element.get("name", ""), source, size)
    document.split = SPLITS.get(element.get("subset", "").lower())
    for number, shape in enumerate((child for child in element if child.tag not in NOT_SHAPES), 1):
        reading.draw(document, f"shape {number}", _shape, shape)
    reading.documents.append(document)


def _shape(reading: Reading, document: Document, element: ElementTree.Element) -> Made:
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
        size = reading.canvas(document)
        if size is None:
            return None
        left, top, width, height = (int(number) for number in numbers("left", "top", "width", "height"))
        if height > size[0] or width > size[1]:
            raise ValueError(f"has a mask of {width} x {height} pixels, larger than its image")
        return label, bitmap(_mask(_required(element, "rle"), height, width), left, top, size)
    reading.skipped[kind] += 1
    return None


def _mask(text: str, height: int, width: int) -> Any:
    """Run lengths row by row, outside first, as pixels `[height, width]`."""
    counts = np.array([int(number) for number in text.split(",")], np.int64)
    # Each one is compared too: the sum of huge ones may wrap around.
    if ((counts < 0) | (counts > height * width)).any() or counts.sum() != height * width:
        raise ValueError(f"has a mask of {counts.sum()} pixels; expected {width} x {height}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


def _required(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise ValueError(f"has no {name}")
    return value
