"""Sets of images with objects, written in each form by functions `(root, split -> name -> shot)`, and their readers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tool_exports
from PIL import Image
from tool_exports import whole

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.sources.box_table import read_box_table
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.voc import read_voc_boxes
from resnet_tl.data.sources.yolo import read_yolo


@dataclass
class Shot:
    """An image to write: (w, h) of the file, its objects (label, x1, y1, x2, y2) on pixel edges."""

    size: tuple[int, int] = (40, 30)
    objects: list[tuple[Any, ...]] = field(default_factory=list)
    annotated: tuple[int, int] | None = None
    orientation: int = 1
    file: bool = True

    @property
    def annotated_size(self) -> tuple[int, int]:
        return self.annotated or self.size

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.file:
            exif = Image.Exif()
            exif[274] = self.orientation
            Image.new("RGB", self.size).save(path, exif=exif)


SIDES = ("xmin", "ymin", "xmax", "ymax")
Shots = dict[str, dict[str, Shot]]
"""Images by split and name."""


def plain() -> Shots:
    return {
        "train": {
            "a": Shot(objects=[("cat", 4, 5, 20, 25), ("dog", 10, 0, 40, 30)]),
            "b": Shot((30, 40)),
            "c": Shot(objects=[("dog", 0, 0, 8, 8)]),
        },
        "val": {"d": Shot(objects=[("dog", 1, 2, 3, 4)]), "e": Shot(objects=[("cat", 1, 2, 3, 4)])},
    }


def coco(root: Path, shots: Shots, as_id: Callable[[int], int | str] = int, fractions: bool = False) -> None:
    number = 100
    for split, shots_of_split in shots.items():
        images, annotations = [], []
        for i, (name, shot) in enumerate(shots_of_split.items()):
            shot.write(root / "images" / f"{name}.jpg")
            width, height = shot.annotated_size
            images.append({"id": as_id(7 * i), "file_name": f"{name}.jpg", "width": width, "height": height})
            for label, x1, y1, x2, y2 in shot.objects:
                number += 1
                code = {"cat": 3, "dog": 90}.get(label, 55)
                across, down = (width, height) if fractions else (1, 1)
                box = [x1 / across, y1 / down, (x2 - x1) / across, (y2 - y1) / down]
                owner = {"id": as_id(number), "image_id": as_id(7 * i), "category_id": as_id(code)}
                annotations.append({**owner, "bbox": box, "iscrowd": 0})
        categories = [{"id": as_id(90), "name": "dog"}, {"id": as_id(3), "name": "cat"}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"instances_{split}.json").write_text(json.dumps(document))


def xml(shot: Shot, fractions: bool = False) -> str:
    def box(x1: float, y1: float, x2: float, y2: float) -> tuple[object, ...]:
        width, height = shot.annotated_size
        if fractions:
            return x1 / width, y1 / height, x2 / width, y2 / height
        return whole(x1 + 1), whole(y1 + 1), whole(x2), whole(y2)

    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(SIDES, box(*corners), strict=True))
        + "</bndbox></object>"
        for label, *corners in shot.objects
    )
    width, height = shot.annotated_size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>somewhere.jpg</filename>{size}{objects}</annotation>"


def voc(root: Path, shots: Shots) -> None:
    for folder in ("ImageSets/Main", "Annotations"):
        (root / folder).mkdir(parents=True)
    for split, images in shots.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(images) + "\n")
        for name, shot in images.items():
            shot.write(root / "JPEGImages" / f"{name}.jpg")
            (root / "Annotations" / f"{name}.xml").write_text(xml(shot))


def coco_text(root: Path, shots: Shots) -> None:
    coco(root, shots, as_id=str)


def coco_fractions(root: Path, shots: Shots) -> None:
    coco(root, shots, fractions=True)


def voc_folders(root: Path, shots: Shots) -> None:
    """Without lists: the folders say the split."""
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / "JPEGImages" / f"{name}.jpg")
            (root / split / "Annotations").mkdir(parents=True, exist_ok=True)
            (root / split / "Annotations" / f"{name}.xml").write_text(xml(shot))


def voc_beside(root: Path, shots: Shots, fractions: bool = False) -> None:
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / f"{name}.jpg")
            (root / split / f"{name}.xml").write_text(xml(shot, fractions))


def voc_fractions(root: Path, shots: Shots) -> None:
    voc_beside(root, shots, fractions=True)


def yolo(root: Path, shots: Shots) -> None:
    (root / "data.yaml").write_text(
        "path: /home/someone/set\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    )
    _labels(root, shots, "{folder}/{split}/{name}")


def yolo_splits(root: Path, shots: Shots) -> None:
    (root / "classes.txt").write_text("cat\ndog\n")
    _labels(root, shots, "{split}/{folder}/{name}")


def yolo_roboflow_darknet(root: Path, shots: Shots) -> None:
    _labels(root, shots, "{split}/{name}")
    for split in shots:
        (root / split / "_darknet.labels").write_text("cat\ndog\n")


def yolo_scores(root: Path, shots: Shots) -> None:
    """As a detector saves what it found; paths as on Windows."""
    (root / "data.yaml").write_text("path: .\\\ntrain: images\\train\nval: images\\val\nnames: {0: cat, 1: dog}\n")
    _labels(root, shots, "{folder}/{split}/{name}", extra=" 0.875")


def yolo_pose(root: Path, shots: Shots) -> None:
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\nkpt_shape: [2, 3]\n")
    _labels(root, shots, "{folder}/{split}/{name}", extra=" 0.5 0.5 2 0 0 0")


def yolo_darknet(root: Path, shots: Shots) -> None:
    """As CVAT's YOLO 1.1: lists of images by split, labels next to the images."""
    (root / "obj.names").write_text("cat\ndog\n")
    (root / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n"
    )
    for split, file in (("train", "train.txt"), ("val", "valid.txt")):
        names = [name for name, shot in shots.get(split, {}).items() if shot.file]
        (root / file).write_text("".join(f"data/obj_{split}_data/{name}.jpg\n" for name in names))
    _labels(root, shots, "obj_{split}_data/{name}")


def _labels(root: Path, shots: Shots, path: str, extra: str = "") -> None:
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / f"{path.format(folder='images', split=split, name=name)}.jpg")
            width, height = shot.size if shot.orientation < 5 else shot.size[::-1]
            lines = [
                f"{['cat', 'dog', 'cow'].index(label)} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
                f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}{extra}\n"
                for label, x1, y1, x2, y2 in shot.objects
            ]
            file = root / f"{path.format(folder='labels', split=split, name=name)}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(lines))


COLUMNS = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "split"]


def table(root: Path, shots: Shots, header: bool = True, fractions: bool = False) -> None:
    with open(root / "boxes.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([COLUMNS] if header else [])
        for split, images in shots.items():
            for name, shot in images.items():
                shot.write(root / f"{name}.jpg")
                width, height = shot.annotated_size
                scale = (width, height, width, height) if fractions else (1, 1, 1, 1)
                for label, *box in shot.objects or [("",)]:
                    sides = [side / by for side, by in zip(box, scale, strict=True)] if box else [""] * 4
                    rows.writerow([f"{name}.jpg", width, height, label, *sides, split])


def table_fractions(root: Path, shots: Shots) -> None:
    table(root, shots, fractions=True)


def table_headless(root: Path, shots: Shots) -> None:
    table(root, shots, header=False)


def tables(root: Path, shots: Shots) -> None:
    """A table next to the images of each split, as Roboflow exports for TensorFlow."""
    for split, images in shots.items():
        (root / split).mkdir(parents=True)
        with open(root / split / "_annotations.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS[:-1])
            for name, shot in images.items():
                shot.write(root / split / f"{name}.jpg")
                for label, *box in shot.objects or [("", "", "", "", "")]:
                    rows.writerow([f"{name}.jpg", *shot.annotated_size, label, *box])


Write = Callable[[Path, Shots], None]
SOURCES: dict[str, tuple[Write, Callable[..., BoxSet]]] = {
    "coco": (coco, lambda root, **how: read_coco(str(root), **how)),
    "coco text": (coco_text, lambda root, **how: read_coco(str(root), **how)),
    "coco fractions": (coco_fractions, lambda root, **how: read_coco(str(root), **how)),
    "voc": (voc, lambda root, **how: read_voc_boxes(str(root), **how)),
    "voc folders": (voc_folders, lambda root, **how: read_voc_boxes(str(root), **how)),
    "voc beside": (voc_beside, lambda root, **how: read_voc_boxes(str(root), **how)),
    "voc fractions": (voc_fractions, lambda root, **how: read_voc_boxes(str(root), **how)),
    **{
        write.__name__.replace("_", " "): (write, lambda root, **how: read_yolo(str(root), **how))
        for write in (yolo, yolo_splits, yolo_scores, yolo_pose, yolo_darknet, yolo_roboflow_darknet)
    },
    **{
        tool: (getattr(tool_exports, tool), lambda root, **how: read_tool_export(str(root), **how))
        for tool in ("labelme", "via", "via3", "label_studio", "cvat", "supervisely")
    },
    "table": (table, lambda root, **how: read_box_table(str(root / "boxes.csv"), **how)),
    "table fractions": (table_fractions, lambda root, **how: read_box_table(str(root / "boxes.csv"), **how)),
    "table headless": (
        table_headless, lambda root, **how: read_box_table(str(root / "boxes.csv"), columns=COLUMNS, **how)
    ),
    "tables": (tables, lambda root, **how: read_box_table(str(root), **how)),
}  # fmt: skip
