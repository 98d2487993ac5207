"""Supervisely: `meta.json`, and in each data set `img/` and `ann/<image's name>.json`."""

from __future__ import annotations

import base64
import posixpath
import zlib
from typing import Any

from resnet_tl.data.sources.annotations import annotated_size
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.split_files import split_named
from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import between, bitmap, png_bitmap, polygon


def is_export(content: Any) -> bool:
    return (
        isinstance(content, dict) and isinstance(content.get("size"), dict) and isinstance(content.get("objects"), list)
    )


def read(reading: Reading) -> None:
    """The split (`train`, `val`, `test`) is in the data set's name, as in `ds_train`, or is a tag of the image."""
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
        image = posixpath.join("..", "img", name.removesuffix(".json"))
        split = split_named(posixpath.basename(posixpath.dirname(folder)))
        reading.parse(source, _read_document, source, image, split, content)


def _read_document(reading: Reading, source: str, image: str, split: str | None, content: dict[str, Any]) -> None:
    size = annotated_size(content["size"].get("height"), content["size"].get("width"))
    document = Document(image, source, size, split=split or _split(content))
    for number, item in enumerate(content["objects"], 1):
        reading.draw(document, f"object {number}", _shape, item)
    reading.documents.append(document)


def _split(content: dict[str, Any]) -> str | None:
    tags = [tag.get("name", "") for tag in content.get("tags") or [] if isinstance(tag, dict)]
    return next((SPLITS[tag.lower()] for tag in tags if tag.lower() in SPLITS), None)


def _shape(reading: Reading, document: Document, item: dict[str, Any]) -> Made:
    label, kind = str(item["classTitle"]), item.get("geometryType") or ("bitmap" if item.get("bitmap") else "polygon")
    if kind == "rectangle":
        return label, between(*_pair(item["points"]["exterior"]), extra=1)  # the last pixel is included
    if kind == "polygon" and not item["points"].get("interior"):
        return label, polygon(item["points"]["exterior"])
    if kind in ("polygon", "bitmap", "alpha_mask"):
        size = reading.canvas(document)
        if size is None:
            return None
        if kind == "polygon":
            return label, polygon(item["points"]["exterior"], item["points"]["interior"], size)
        left, top = item["bitmap"]["origin"]
        return label, bitmap(png_bitmap(_unpacked(item["bitmap"]["data"], size), size), int(left), int(top), size)
    reading.skipped[str(kind)] += 1
    return None


def _unpacked(data: str, size: tuple[int, int]) -> bytes:
    """The PNG in a text: compressed again, and no larger than pixels of an image of `size` (h, w) need."""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(data), 5 * size[0] * size[1] + 4096)
    except zlib.error as error:
        raise ValueError(f"has a bitmap that cannot be unpacked ({error})") from None


def _pair(points: Any) -> tuple[Any, Any]:
    first, second = points
    return first, second
