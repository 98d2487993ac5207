"""Sets of one image `a.png` with masks, written as tools do: `(root, size, label -> polygon or pixels)`.

A polygon is `[P, 2]` x, y; pixels are `[H, W]` bool of the whole image.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as pycocotools

Size = tuple[int, int]
"""(h, w)."""
Shapes = Mapping[str, np.ndarray]
Write = Callable[[Path, Size, Shapes], None]


def coco_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    _coco(root, size, {name: [polygon.ravel().tolist()] for name, polygon in shapes.items()})


def coco_runs(root: Path, size: Size, shapes: Shapes) -> None:
    """Compressed run lengths."""
    masks: dict[str, Any] = {}
    for name, pixels in shapes.items():
        masks[name] = pycocotools.encode(np.asfortranarray(pixels.astype(np.uint8)))
        masks[name]["counts"] = masks[name]["counts"].decode()
    _coco(root, size, masks)


def yolo_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    (root / "classes.txt").write_text("\n".join(shapes))
    lines = [
        f"{number} {' '.join(f'{side:.6f}' for side in (polygon / size[::-1]).ravel())}\n"
        for number, polygon in enumerate(shapes.values())
    ]
    (root / "a.txt").write_text("".join(lines))


def labelme_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    _labelme(
        root,
        size,
        [{"label": name, "points": shape.tolist(), "shape_type": "polygon"} for name, shape in shapes.items()],
    )


def labelme_masks(root: Path, size: Size, shapes: Shapes) -> None:
    """Values 0 and 1 in the box of the mask, whose last row and column belong to it."""
    found = []
    for name, pixels in shapes.items():
        left, top, right, bottom = _box(pixels)
        data = _png(Image.fromarray(pixels[top:bottom, left:right].astype(np.uint8)))
        points = [[left, top], [right - 1, bottom - 1]]
        found.append({"label": name, "points": points, "shape_type": "mask", "mask": base64.b64encode(data).decode()})
    _labelme(root, size, found)


def via_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    regions = [
        {"shape_attributes": {"name": "polygon", "all_points_x": x.tolist(), "all_points_y": y.tolist()},
         "region_attributes": {"class": name}}
        for name, (x, y) in ((name, shape.T) for name, shape in shapes.items())
    ]  # fmt: skip
    entry = {"filename": "a.png", "size": 1, "regions": regions, "file_attributes": {}}
    (root / "via.json").write_text(json.dumps({"a.png1": entry}))


def via3_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    metadata = {
        f"1_{number}": {"vid": "1", "flg": 0, "z": [], "xy": [7, *shape.ravel().tolist()], "av": {"1": name}}
        for number, (name, shape) in enumerate(shapes.items())
    }
    attribute = {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 1, "options": {}}
    file = {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": ""}
    view, project = {"1": {"fid_list": ["1"]}}, {"vid_list": ["1"]}
    content = {"project": project, "config": {}, "attribute": {"1": attribute}, "file": {"1": file}, "view": view}
    (root / "via.json").write_text(json.dumps({**content, "metadata": metadata}))


def label_studio_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    values = [
        ("polygonlabels", {"points": (shape * 100 / size[::-1]).tolist(), "closed": True, "polygonlabels": [name]})
        for name, shape in shapes.items()
    ]
    _label_studio(root, size, values)


def label_studio_brushes(root: Path, size: Size, shapes: Shapes) -> None:
    values = [
        ("brushlabels", {"format": "rle", "rle": _brush(pixels), "brushlabels": [name]})
        for name, pixels in shapes.items()
    ]
    _label_studio(root, size, values)


def cvat_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    points = {name: ";".join(f"{x:.2f},{y:.2f}" for x, y in shape) for name, shape in shapes.items()}
    _cvat(
        root,
        size,
        [f'<polygon label="{name}" occluded="0" points="{text}" z_order="0"/>' for name, text in points.items()],
    )


def cvat_masks(root: Path, size: Size, shapes: Shapes) -> None:
    """Run lengths of the box of the mask, row by row, outside first."""
    found = []
    for name, pixels in shapes.items():
        left, top, right, bottom = _box(pixels)
        inside = pixels[top:bottom, left:right].ravel().tolist()
        runs = [len(list(run)) for _, run in itertools.groupby(inside)]
        rle = ", ".join(map(str, [0, *runs] if inside[0] else runs))
        box = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
        found.append(f'<mask label="{name}" source="manual" occluded="0" rle="{rle}" {box} z_order="0"/>')
    _cvat(root, size, found)


def supervisely_polygons(root: Path, size: Size, shapes: Shapes) -> None:
    _supervisely(root, size, [
        {"classTitle": name, "geometryType": "polygon", "points": {"exterior": shape.tolist(), "interior": []}}
        for name, shape in shapes.items()
    ])  # fmt: skip


def supervisely_bitmaps(root: Path, size: Size, shapes: Shapes) -> None:
    """A palette PNG, transparent outside, of the mask's box, whose corner is the origin."""
    found = []
    for name, pixels in shapes.items():
        left, top, right, bottom = _box(pixels)
        image = Image.fromarray(pixels[top:bottom, left:right].astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 255, 255, 255])
        data = base64.b64encode(zlib.compress(_png(image, transparency=0))).decode()
        found.append({"classTitle": name, "geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}})
    _supervisely(root, size, found)


POLYGONS: dict[str, Write] = {
    write.__name__: write
    for write in (
        coco_polygons, yolo_polygons, labelme_polygons, via_polygons, via3_polygons, label_studio_polygons,
        cvat_polygons, supervisely_polygons,
    )
}  # fmt: skip
PIXELS: dict[str, Write] = {
    write.__name__: write for write in (coco_runs, labelme_masks, label_studio_brushes, cvat_masks, supervisely_bitmaps)
}


def _coco(root: Path, size: Size, masks: dict[str, Any]) -> None:
    images = [{"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}]
    categories = [{"id": number, "name": name} for number, name in enumerate(masks)]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": number,
            "iscrowd": 0,
            "segmentation": mask,
            "bbox": [0, 0, *size[::-1]],
        }
        for number, mask in enumerate(masks.values())
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(document))


def _labelme(root: Path, size: Size, shapes: list[dict[str, Any]]) -> None:
    content = {
        "version": "5.5.0",
        "shapes": shapes,
        "imagePath": "a.png",
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    (root / "a.json").write_text(json.dumps(content))


def _label_studio(root: Path, size: Size, values: list[tuple[str, dict[str, Any]]]) -> None:
    sizes = {"original_width": size[1], "original_height": size[0], "image_rotation": 0}
    result = [{"id": str(number), "type": kind, "value": value, **sizes} for number, (kind, value) in enumerate(values)]
    task = {"id": 5, "data": {"image": "/data/upload/1/0123abcd-a.png"}, "annotations": [{"result": result}]}
    (root / "export.json").write_text(json.dumps([task]))


def _cvat(root: Path, size: Size, shapes: list[str]) -> None:
    image = f'<image id="0" name="a.png" width="{size[1]}" height="{size[0]}">{"".join(shapes)}</image>'
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")


def _supervisely(root: Path, size: Size, objects: list[dict[str, Any]]) -> None:
    for folder in ("ann", "img"):
        (root / "first" / folder).mkdir(parents=True, exist_ok=True)
    (root / "a.png").rename(root / "first" / "img" / "a.png")
    content = {"description": "", "size": {"height": size[0], "width": size[1]}, "tags": [], "objects": objects}
    (root / "first" / "ann" / "a.png.json").write_text(json.dumps(content))


def _brush(pixels: np.ndarray) -> list[int]:
    """The bit stream of Label Studio's converter: runs of up to 8, 16, 256 and 65536 values, and single ones."""
    values = np.repeat(pixels.ravel(), 4).astype(np.uint8) * 255
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{bits - 1:04b}" for bits in (3, 4, 8, 16))
    for value, group in itertools.groupby(values.tolist()):
        left = len(list(group))
        while left:
            length = min(left, 2**16)
            kind = next(kind for kind, most in enumerate((8, 16, 256, 2**16)) if length <= most)
            if length == 1:
                bits += f"000000{value:08b}"
            else:
                bits += f"1{kind:02b}{length - 1:0{(3, 4, 8, 16)[kind]}b}{value:08b}"
            left -= length
    bits += "0" * (8 - len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def _png(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _box(pixels: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
