"""Supervisely: `meta.json`, and in each data set `img/` and `ann/<image's name>.json`."""

from __future__ import annotations

import base64
import posixpath
import zlib
from typing import Any

from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import between, bitmap, png_bitmap, polygon


def is_export(content: Any) -> bool:
    return (
        isinstance(content, dict) and isinstance(content.get("size"), dict) and isinstance(content.get("objects"), list)
    )


def read(reading: Reading) -> None:
    """The data set's name says the split (`train`, `val`, `test`), or else a tag of the image of such a name."""
    for file in json_files(reading.tree):
        folder, name = posixpath.split(file)
        if posixpath.basename(folder) != "ann":
            continue
        content = reading.json(file)
        source = f"{reading.tree.root}/{file}"
        if not is_export(content):
            if content is not None:
                reading.findings.faults.append(f"{source}: holds no size and objects, as Supervisely writes them")
            continue
        size = (content["size"].get("height"), content["size"].get("width"))
        known = all(isinstance(side, int) for side in size)
        image = posixpath.join("..", "img", name.removesuffix(".json"))
        document = Document(image, source, size if known else None, split=_split(content))
        for number, item in enumerate(content["objects"], 1):
            reading.draw(document, f"object {number}", _shape, item, document.size)
        reading.documents.append(document)


def _split(content: dict[str, Any]) -> str | None:
    tags = [tag.get("name", "") for tag in content.get("tags") or [] if isinstance(tag, dict)]
    return next((SPLITS[tag.lower()] for tag in tags if tag.lower() in SPLITS), None)


def _shape(reading: Reading, item: dict[str, Any], size: tuple[int, int] | None) -> Made:
    label, kind = str(item["classTitle"]), item.get("geometryType") or ("bitmap" if item.get("bitmap") else "polygon")
    if kind == "rectangle":
        return label, between(*_pair(item["points"]["exterior"]), extra=1)  # the last pixel is included
    if kind == "polygon":
        return label, polygon(item["points"]["exterior"], item["points"].get("interior") or (), size)
    if kind == "bitmap":
        if size is None:
            raise ValueError("has a bitmap, but the file has no size")
        left, top = item["bitmap"]["origin"]
        packed = zlib.decompressobj()
        data = packed.decompress(base64.b64decode(item["bitmap"]["data"]), 5 * size[0] * size[1] + 4096)
        return label, bitmap(png_bitmap(data, size), int(left), int(top), size)
    reading.skipped[str(kind)] += 1
    return None


def _pair(points: Any) -> tuple[Any, Any]:
    first, second = points
    return first, second
