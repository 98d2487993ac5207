"""VGG Image Annotator 3: a project with files, views of them, and metadata: shapes as `[kind, number, number, ...]`."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnet_tl.data.sources.tools.class_attribute import USUAL, class_among
from resnet_tl.data.sources.tools.document import Document, Made, Reading
from resnet_tl.data.sources.tools.shapes import Shape, between, ellipse, polygon, rectangle

PARTS = ("project", "attribute", "file", "view", "metadata")
OF_REGIONS = "FILE1_Z0_XY1"
"""What attributes of regions, not of files or times, are anchored to."""
IMAGE = 2
"""The type of files that are images."""
RECTANGLE, CIRCLE, ELLIPSE, POLYGON, EXTREME_RECTANGLE = 2, 3, 4, 7, 8
SKIPPED = {1: "point", 5: "line", 6: "polyline", 9: "extreme circle"}


def is_export(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(part), dict) for part in PARTS)


def read_project(reading: Reading, source: str, content: dict[str, Any]) -> None:
    """Each view of a single image is a document; the class of a region is chosen as for version 2."""
    attributes = {number: each for number, each in content["attribute"].items() if each.get("anchor_id") == OF_REGIONS}
    by_name = {str(each["aname"]): number for number, each in attributes.items()}
    name = class_among(list(by_name))
    documents: dict[str, Document] = {}
    for number, view in content["view"].items():
        files = [content["file"][str(file)] for file in view["fid_list"]]
        if len(files) == 1 and files[0].get("type") == IMAGE:
            image = str(files[0].get("fname") or files[0]["src"])
            documents[number] = Document(image, f"{source}: {image}", None)
        else:
            reading.skipped["video, audio or several images"] += 1
    for number, region in content["metadata"].items():
        document = documents.get(str(region["vid"]))
        if document is not None and region["xy"]:
            reading.draw(
                document, f"region {number}", _shape, region, None if name is None else by_name[name], attributes
            )
    reading.documents += documents.values()


def _shape(
    reading: Reading,
    document: Document,
    region: dict[str, Any],
    attribute: str | None,
    attributes: dict[str, dict[str, Any]],
) -> Made:
    kind, *numbers = region["xy"]
    made = _drawn(kind, [float(number) for number in numbers])
    if made is None:
        reading.skipped[SKIPPED.get(kind, str(kind))] += 1
        return None
    if attribute is None:
        names = ", ".join(sorted(str(each["aname"]) for each in attributes.values())) or "none"
        raise ValueError(f"has the attributes {names}; expected one that holds the class, called {USUAL[0]}")
    value = str(region["av"].get(attribute, ""))
    options = attributes[attribute].get("options") or {}
    return str(options.get(value, value)).strip(), made


def _drawn(kind: int, numbers: list[float]) -> Shape | None:
    if kind == RECTANGLE:
        x, y, width, height = numbers
        return rectangle(x, y, x + width, y + height)
    if kind == CIRCLE:
        x, y, radius = numbers
        return ellipse(x, y, radius, radius)
    if kind == ELLIPSE:
        x, y, radius_x, radius_y = numbers[:4]
        return ellipse(x, y, radius_x, radius_y)
    if kind == POLYGON:
        return polygon(np.array(numbers).reshape(-1, 2))
    if kind == EXTREME_RECTANGLE:
        points = np.array(numbers).reshape(-1, 2)
        return between(points.min(0).tolist(), points.max(0).tolist())
    return None
