"""Label Studio's own export (JSON and JSON-MIN): boxes, polygons, ellipses in percent; run lengths of brush strokes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from resnet_tl.data.sources.annotations import annotated_size
from resnet_tl.data.sources.tools.document import Document, Made, Reading, json_files
from resnet_tl.data.sources.tools.shapes import Shape, bitmap, ellipse, polygon, rotated_rectangle

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""
LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
"""The keys of labels of shapes that have an area."""


def is_export(content: Any) -> bool:
    """Tasks with annotations, or images with regions (JSON-MIN)."""
    if not isinstance(content, list):
        return False
    tasks = [item for item in content[:20] if isinstance(item, dict)]
    return any(("data" in task and "annotations" in task) or any(_regions(task)) for task in tasks)


def read(reading: Reading) -> None:
    """Of a task with several annotations the newest counts that was not cancelled; predictions count nowhere."""
    for file in json_files(reading.tree):
        content = reading.json(file)
        if not is_export(content):
            continue
        for number, task in enumerate(content, 1):
            source = f"{reading.tree.root}/{file}: task {task.get('id', number) if isinstance(task, dict) else number}"
            reading.parse(source, _read_task, source, task)


def _read_task(reading: Reading, source: str, task: Any) -> None:
    image = _image(task)
    if image is None:
        raise ValueError("has no image")
    document = Document(image, f"{source} ({image})", None)
    if (original := _uploaded(image)) != image and reading.key_of(document) is None:
        document.image = original
    results = _results(task)
    labelled = {result.get("id") for result in results if _label_key(result["value"])} - {None}
    for number, result in enumerate(results, 1):
        document.size = annotated_size(result.get("original_height"), result.get("original_width")) or document.size
        if _label_key(result["value"]) or result.get("id") not in labelled:  # a shape and its labels may be two results
            reading.draw(document, f"region {number}", _shape, result)
    reading.documents.append(document)


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The regions of a task, those of JSON-MIN in the form of JSON."""
    if not isinstance(task.get("annotations"), list):
        return [{**region, "value": region} for region in _regions(task)]
    valid = [each for each in task["annotations"] if isinstance(each, dict) and not each.get("was_cancelled")]
    newest = max(valid, key=lambda each: str(each.get("updated_at", "")), default={})
    results = newest.get("result") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError("has a result that is not a list of regions")
    return [result for result in results if "value" in result]


def _regions(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The regions in JSON-MIN: lists in a task of what has a size."""
    for value in task.values():
        for region in value if isinstance(value, list) else []:
            if isinstance(region, dict) and "original_width" in region:
                yield region


def _label_key(value: dict[str, Any]) -> str:
    """The key of a region's labels: `rectanglelabels`, or `labels` of any shape; "" for none."""
    return next((key for key in value if key.endswith("labels") and isinstance(value[key], list)), "")


def _image(task: Any) -> str | None:
    """The file's path: of local files what the address asks for."""
    if not isinstance(task, dict):
        return None
    data = task["data"] if isinstance(task.get("data"), dict) else task
    addresses = [value for key, value in data.items() if isinstance(value, str) and _looks_like_image(key, value)]
    if not addresses:
        return None
    parts = urlsplit(addresses[0])
    return parse_qs(parts.query).get("d", [unquote(parts.path)])[0]


def _uploaded(path: str) -> str:
    """The name that an uploaded file had before; another path as it is."""
    folder, _, name = path.rpartition("/")
    return UPLOADED.sub("", name) if "upload" in folder else path


def _looks_like_image(key: str, value: str) -> bool:
    return key in ("image", "img", "photo", "picture") or bool(
        re.search(r"\.(jpe?g|png|webp|bmp|tiff?|gif)$", value, re.I)
    )


def _shape(reading: Reading, document: Document, result: dict[str, Any]) -> Made:
    value = result["value"]
    key = _label_key(value)
    if key not in LABELS or not value.keys() & {"points", "radiusX", "rle", "width"}:
        reading.skipped[key or str(result.get("type", "unlabelled"))] += 1
        return None
    if result.get("image_rotation"):
        raise ValueError(f"has an image rotated by {result['image_rotation']} degrees in the tool; expected 0")
    if len(value[key]) != 1:
        raise ValueError(f"has {len(value[key])} labels; expected one")
    if "rle" in value or "format" in value:
        size = reading.canvas(document)
        return None if size is None else (str(value[key][0]), _brush(value, size))
    if document.size is None:
        raise ValueError("has no original_width and original_height")
    return str(value[key][0]), _drawn(value, document.size)


def _brush(value: dict[str, Any], size: tuple[int, int]) -> Shape:
    if value.get("format") != "rle":
        raise ValueError(f"has brush strokes in the format {value.get('format')!r}; expected 'rle'")
    return bitmap(brush_pixels(value["rle"], size), 0, 0, size)


def _drawn(value: dict[str, Any], size: tuple[int, int]) -> Shape:
    height, width = size
    if "points" in value:
        return polygon(np.array(value["points"], np.float64) * (width / 100, height / 100))
    x, y, degrees = value["x"] * width / 100, value["y"] * height / 100, float(value.get("rotation") or 0)
    if "radiusX" in value:
        return ellipse(x, y, value["radiusX"] * width / 100, value["radiusY"] * height / 100, degrees)
    right, bottom = x + value["width"] * width / 100, y + value["height"] * height / 100
    return rotated_rectangle(x, y, right, bottom, degrees, pivot=(x, y))


def brush_pixels(code: list[int], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Label Studio's run lengths of brush strokes (the bit stream of @thi.ng/rle-pack) as pixels `[H, W]`.

    32 bits: how many values follow; 5: bits of a value, less one; 4 x 4: bits of a run's length for each of four
    classes of runs, less one. Then runs: a bit that says whether one value is repeated, two bits of the run's class,
    its length less one, the value or the values. The values are RGBA; alpha is the mask.

    Raises:
        ValueError: the code is cut off, or of an image of another size.
    """
    bits = np.unpackbits(np.array(code, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("has brush strokes that are cut off")
        value = 0
        for bit in bits[place : place + count].tolist():
            value = value << 1 | bit
        place += count
        return value

    total = take(32)
    if total != 4 * size[0] * size[1]:
        raise ValueError(f"has brush strokes of {total} values; expected {4 * size[0] * size[1]}")
    word = take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    start = 0
    while start < total:
        repeated = take(1)
        end = min(start + 1 + take(lengths[take(2)]), total)
        values[start:end] = take(word) if repeated else [take(word) for _ in range(end - start)]
        start = end
    alpha: npt.NDArray[np.bool_] = values.reshape(*size, 4)[..., 3] > 0
    return alpha
