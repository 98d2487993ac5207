"""VGG Image Annotator 1 and 2: one JSON file with the regions of all images. For version 3 see `via3`."""

from __future__ import annotations

import math
from typing import Any

from resnet_tl.data.sources.tools import via3
from resnet_tl.data.sources.tools.class_attribute import USUAL, chosen, class_among
from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import Shape, ellipse, polygon, rectangle


def is_export(content: Any) -> bool:
    return bool(_entries(content)) or via3.is_export(content)


def read(reading: Reading) -> None:
    """The class of a region is its only attribute, or of several the one called as in `USUAL`."""
    for file in json_files(reading.tree):
        content = reading.json(file)
        if via3.is_export(content):
            reading.parse(f"{reading.tree.root}/{file}", via3.read_project, f"{reading.tree.root}/{file}", content)
        entries = _entries(content)
        attribute = _class_attribute(entries)
        for entry in entries:
            source = f"{reading.tree.root}/{file}: {entry['filename']}"
            reading.parse(source, _read_entry, source, entry, attribute)


def _read_entry(reading: Reading, source: str, entry: dict[str, Any], attribute: str | None) -> None:
    if not isinstance(entry["regions"], list | dict):
        raise ValueError("has regions that are not a list")
    document = Document(str(entry["filename"]), source, None)
    for number, region in enumerate(_regions(entry), 1):
        reading.draw(document, f"region {number}", _shape, region, attribute)
    reading.documents.append(document)


def _entries(content: Any) -> list[dict[str, Any]]:
    """Those of a project file or of an export of annotations."""
    if not isinstance(content, dict):
        return []
    images = content.get("_via_img_metadata", content)
    if not isinstance(images, dict):
        return []
    entries = [
        entry for entry in images.values() if isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()
    ]
    return entries if len(entries) == len(images) else []


def _regions(entry: dict[str, Any]) -> list[Any]:
    regions = entry["regions"]
    return list(regions.values()) if isinstance(regions, dict) else regions if isinstance(regions, list) else []


def _class_attribute(entries: list[dict[str, Any]]) -> str | None:
    attributes = [
        region.get("region_attributes") for entry in entries for region in _regions(entry) if isinstance(region, dict)
    ]
    names = [name for each in attributes if isinstance(each, dict) for name, value in each.items() if value]
    return class_among(list(dict.fromkeys(names)))


def _shape(reading: Reading, document: Document, region: dict[str, Any], attribute: str | None) -> Made:
    attributes, shape = region["region_attributes"], region["shape_attributes"]
    kind = shape["name"]
    made: Shape
    if kind == "rect":
        x, y = float(shape["x"]), float(shape["y"])
        made = rectangle(x, y, x + float(shape["width"]), y + float(shape["height"]))
    elif kind == "polygon":
        made = polygon(list(zip(shape["all_points_x"], shape["all_points_y"], strict=True)))
    elif kind == "circle":
        made = ellipse(shape["cx"], shape["cy"], shape["r"], shape["r"])
    elif kind == "ellipse":
        degrees = math.degrees(shape.get("theta", 0))
        made = ellipse(shape["cx"], shape["cy"], shape["rx"], shape["ry"], degrees)
    else:
        reading.skipped[str(kind)] += 1
        return None
    if attribute is None:
        names = ", ".join(sorted(attributes)) or "none"
        raise ValueError(f"has the attributes {names}; expected one that holds the class, called {USUAL[0]}")
    return chosen(attributes.get(attribute, "")), made
