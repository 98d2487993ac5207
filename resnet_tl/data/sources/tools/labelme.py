"""labelme: a JSON file an image, with polygons, rectangles, circles and masks (labelme 5)."""

from __future__ import annotations

import base64
import posixpath
from typing import Any

from resnet_tl.data.sources.annotations import annotated_size
from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import Shape, between, bitmap, ellipse, png_bitmap, polygon

POLYGONS = ("polygon", "oriented_rectangle", "rotation")
"""Shapes that are given by all of their corners; the last one is X-AnyLabeling's, which saves the same files."""


def is_export(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(reading: Reading) -> None:
    """Shapes of one label and `group_id` are parts of one object, as in labelme's converters."""
    for file in json_files(reading.tree):
        content = reading.json(file)
        if is_export(content):
            reading.parse(f"{reading.tree.root}/{file}", _read_document, file, content)


def _read_document(reading: Reading, file: str, content: dict[str, Any]) -> None:
    source = f"{reading.tree.root}/{file}"
    size = annotated_size(content.get("imageHeight"), content.get("imageWidth"))
    document = Document(_image(reading, file, str(content["imagePath"])), source, size)
    shapes = content["shapes"]
    if not isinstance(shapes, list):
        raise ValueError("has shapes that are not a list")
    groups: dict[tuple[str, str], list[int]] = {}
    for number, shape in enumerate(shapes, 1):
        before = len(document.drawn)
        reading.draw(document, f"shape {number}", _shape, shape)
        if len(document.drawn) > before and shape.get("group_id") is not None:
            groups.setdefault((document.drawn[-1].label, str(shape["group_id"])), []).append(before)
    _join_groups(document, list(groups.values()))
    reading.documents.append(document)


def _image(reading: Reading, file: str, name: str) -> str:
    """Returns the image that the JSON names, or the one with the JSON's own file name if images were renamed."""
    stem = posixpath.splitext(file)[0]
    siblings = [other for other in reading.tree.files if posixpath.splitext(other)[0] == stem and other != file]
    if len(siblings) == 1 and posixpath.basename(name) != posixpath.basename(siblings[0]):
        return f"/{siblings[0]}"
    return name


def _shape(reading: Reading, document: Document, shape: dict[str, Any]) -> Made:
    label, kind, points = str(shape["label"]), shape.get("shape_type", "polygon"), shape["points"]
    if kind in POLYGONS:
        return label, polygon(points)
    if kind == "rectangle":
        return label, between(points[0], points[1] if len(points) == 2 else points[2])
    if kind == "circle":
        (x, y), (edge_x, edge_y) = points
        radius = ((x - edge_x) ** 2 + (y - edge_y) ** 2) ** 0.5
        return label, ellipse(x, y, radius, radius)
    if kind == "mask":
        size = reading.canvas(document)
        if size is None:
            return None
        pixels = png_bitmap(base64.b64decode(shape["mask"]), size)
        return label, bitmap(pixels, round(points[0][0]), round(points[0][1]), size)
    reading.skipped[str(kind)] += 1
    return None


def _join_groups(document: Document, groups: list[list[int]]) -> None:
    """Polygons of a group become one object with several; other shapes stay as they are."""
    joined: set[int] = set()
    for members in groups:
        masks = [document.drawn[index].shape.mask for index in members]
        if len(members) < 2 or not all(isinstance(mask, list) for mask in masks):
            continue
        first, boxes = document.drawn[members[0]], [document.drawn[index].shape.box for index in members]
        lows, highs = zip(*((box[:2], box[2:]) for box in boxes), strict=True)
        box = [*map(min, zip(*lows, strict=True)), *map(max, zip(*highs, strict=True))]
        parts = [part for mask in masks if isinstance(mask, list) for part in mask]
        document.drawn[members[0]] = first._replace(shape=Shape(box, parts))
        joined.update(members[1:])
    document.drawn = [drawn for index, drawn in enumerate(document.drawn) if index not in joined]
