"""VGG Image Annotator (VIA 1 and 2): one JSON file with the regions of all images."""

from __future__ import annotations

from collections import Counter
from typing import Any

from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import Shape, ellipse, polygon, rectangle

USUAL = ("label", "class", "name", "category", "type", "object")
"""Attributes that hold the class, where regions have several."""


def is_export(content: Any) -> bool:
    return bool(_entries(content))


def read(reading: Reading) -> None:
    """The class of a region is its only attribute, or of several the one called as in `USUAL`."""
    for file in json_files(reading.tree):
        entries = _entries(reading.json(file))
        attribute = _class_attribute(entries)
        for entry in entries:
            source = f"{reading.tree.root}/{file}: {entry['filename']}"
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
    return list(regions.values()) if isinstance(regions, dict) else list(regions)


def _class_attribute(entries: list[dict[str, Any]]) -> str | None:
    counts = Counter(
        name
        for entry in entries
        for region in _regions(entry)
        if isinstance(region, dict)
        for name, value in (region.get("region_attributes") or {}).items()
        if value
    )
    usual = [name for word in USUAL for name in counts if name.lower() == word]
    return usual[0] if usual else (counts.most_common(1)[0][0] if len(counts) == 1 else None)


def _shape(reading: Reading, region: dict[str, Any], attribute: str | None) -> Made:
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
        # VIA gives the angle in radians
        made = ellipse(
            shape["cx"], shape["cy"], shape["rx"], shape["ry"], 180 / 3.141592653589793 * shape.get("theta", 0)
        )
    else:
        reading.skipped[str(kind)] += 1
        return None
    if attribute is None:
        names = ", ".join(sorted(attributes)) or "none"
        raise ValueError(f"has the attributes {names}; expected one that holds the class, called {USUAL[0]}")
    return _chosen(attributes.get(attribute, "")), made


def _chosen(value: Any) -> str:
    """Of a text, a drop-down, or check boxes `{"cat": true}` with one of them ticked."""
    if isinstance(value, dict):
        ticked = [name for name, on in value.items() if on]
        if len(ticked) != 1:
            raise ValueError(f"has {len(ticked)} classes ticked; expected one")
        return str(ticked[0])
    return str(value).strip()
