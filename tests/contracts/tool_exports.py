"""Sets of images with boxes as annotation tools export them: `(root, split -> name -> shot)`, each shot with
`annotated_size` (w, h), `objects` (label, x1, y1, x2, y2) and `write(path)`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

Shots = dict[str, dict[str, Any]]


def whole(side: float) -> float:
    return side if math.isnan(side) else math.floor(side + 0.5)


def labelme(root: Path, shots: Shots) -> None:
    """A JSON next to each image, as labelme 5 saves it."""
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / f"{name}.jpg")
            width, height = shot.annotated_size
            shapes = [
                {"label": label, "points": [[x2, y1], [x1, y2]], "group_id": None, "description": "",
                 "shape_type": "rectangle", "flags": {}, "mask": None}
                for label, x1, y1, x2, y2 in shot.objects
            ]  # fmt: skip
            content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.jpg",
                       "imageData": None, "imageHeight": height, "imageWidth": width}  # fmt: skip
            (root / split).mkdir(parents=True, exist_ok=True)
            (root / split / f"{name}.json").write_text(json.dumps(content))


def via(root: Path, shots: Shots) -> None:
    """One project of VIA 2 for each split."""
    for split, images in shots.items():
        entries = {}
        for name, shot in images.items():
            shot.write(root / split / f"{name}.jpg")
            regions = [
                {"shape_attributes": {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                 "region_attributes": {"class": label, "note": ""}}
                for label, x1, y1, x2, y2 in shot.objects
            ]  # fmt: skip
            entry = {"filename": f"{name}.jpg", "size": 1234, "regions": regions, "file_attributes": {}}
            entries[f"{name}.jpg1234"] = entry
        project = {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {"region": {}, "file": {}}}
        (root / split).mkdir(parents=True, exist_ok=True)
        (root / split / "via_project.json").write_text(json.dumps(project))


def via3(root: Path, shots: Shots) -> None:
    """One project of VIA 3 for each split; classes are options of a drop-down."""
    options = {"c": "cat", "d": "dog", "w": "cow"}
    for split, images in shots.items():
        files: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        for number, (name, shot) in enumerate(images.items(), 1):
            shot.write(root / split / f"{name}.jpg")
            files[str(number)] = {"fid": number, "fname": f"{name}.jpg", "type": 2, "loc": 1, "src": ""}
            for label, x1, y1, x2, y2 in shot.objects:
                value = next(key for key, option in options.items() if option == label)
                shape = {"xy": [2, x1, y1, x2 - x1, y2 - y1], "av": {"1": value, "2": ""}}
                metadata[f"{number}_{len(metadata):08}"] = {"vid": str(number), "flg": 0, "z": [], **shape}
        attributes = {
            "1": {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 4, "desc": "", "options": options},
            "2": {"aname": "note", "anchor_id": "FILE1_Z0_XY1", "type": 1, "desc": "", "options": {}},
            "3": {"aname": "label", "anchor_id": "FILE1_Z0_XY0", "type": 1, "desc": "", "options": {}},
        }
        project = {
            "project": {"pid": "x", "data_format_version": "3.1.1", "vid_list": list(files)},
            "config": {}, "attribute": attributes, "file": files,
            "view": {number: {"fid_list": [int(number)]} for number in files}, "metadata": metadata,
        }  # fmt: skip
        (root / split).mkdir(parents=True, exist_ok=True)
        (root / split / "project.json").write_text(json.dumps(project))


def label_studio(root: Path, shots: Shots) -> None:
    """One export of all; Label Studio puts eight digits before the names of uploads."""
    tasks = []
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / f"{name}.jpg")
            width, height = shot.annotated_size
            result = [
                {"original_width": width, "original_height": height, "image_rotation": 0, "type": "rectanglelabels",
                 "from_name": "label", "to_name": "image",
                 "value": {"x": 100 * x1 / width, "y": 100 * y1 / height, "width": 100 * (x2 - x1) / width,
                           "height": 100 * (y2 - y1) / height, "rotation": 0, "rectanglelabels": [label]}}
                for label, x1, y1, x2, y2 in shot.objects
            ]  # fmt: skip
            annotations = [
                {"result": [], "was_cancelled": True, "updated_at": "2026-02-02T00:00:00Z"},
                {"result": result, "was_cancelled": False, "updated_at": "2026-02-01T00:00:00Z"},
            ]
            data = {"image": f"/data/upload/7/0a1b2c3d-{name}.jpg"}
            tasks.append({"id": len(tasks) + 1, "annotations": annotations, "predictions": [], "data": data})
    (root / "project-7.json").write_text(json.dumps(tasks))


def cvat(root: Path, shots: Shots) -> None:
    """CVAT for images 1.1, with subsets."""
    lines = ["<?xml version='1.0' encoding='utf-8'?>", "<annotations><version>1.1</version><meta/>"]
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / "images" / f"{name}.jpg")
            width, height = shot.annotated_size
            lines.append(
                f'<image id="0" name="{name}.jpg" subset="{split.title()}" width="{width}" height="{height}">'
                '<tag label="seen" source="manual"/>'
            )
            lines += [
                f'<box label={quoteattr(label)} source="manual" occluded="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" '
                f'ybr="{y2}" z_order="0"><attribute name="a">b</attribute></box>'
                for label, x1, y1, x2, y2 in shot.objects
            ]
            lines.append("</image>")
    (root / "annotations.xml").write_text("\n".join([*lines, "</annotations>"]))


def supervisely(root: Path, shots: Shots) -> None:
    """A project with a data set for each split; the last pixel of a rectangle is included."""
    for split, images in shots.items():
        (root / split / "ann").mkdir(parents=True)
        for name, shot in images.items():
            shot.write(root / split / "img" / f"{name}.jpg")
            width, height = shot.annotated_size
            objects = [
                {"classTitle": label, "geometryType": "rectangle", "tags": [],
                 "points": {"exterior": [[whole(x1), whole(y1)], [whole(x2 - 1), whole(y2 - 1)]], "interior": []}}
                for label, x1, y1, x2, y2 in shot.objects
            ]  # fmt: skip
            content = {"description": "", "tags": [], "size": {"height": height, "width": width}, "objects": objects}
            (root / split / "ann" / f"{name}.jpg.json").write_text(json.dumps(content))
    (root / "meta.json").write_text(json.dumps({"classes": [{"title": "cat"}, {"title": "dog"}], "tags": []}))
