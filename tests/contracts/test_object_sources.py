"""What every source of images with objects guarantees, whatever its format."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tool_exports
from PIL import Image, ImageOps

from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.sources.box_table import read_box_table
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.voc import read_voc_boxes
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Code

CLASSES = ["cat", "dog"]
NAN = float("nan")


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


def coco(root: Path, shots: Shots, as_id: Callable[[int], int | str] = int) -> None:
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
                box = [x1, y1, x2 - x1, y2 - y1]
                owner = {"id": as_id(number), "image_id": as_id(7 * i), "category_id": as_id(code)}
                annotations.append({**owner, "bbox": box, "iscrowd": 0})
        categories = [{"id": as_id(90), "name": "dog"}, {"id": as_id(3), "name": "cat"}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"instances_{split}.json").write_text(json.dumps(document))


def xml(shot: Shot) -> str:
    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, x1, y1, x2, y2 in shot.objects
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


def voc_folders(root: Path, shots: Shots) -> None:
    """Without lists: the folders say the split."""
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / "JPEGImages" / f"{name}.jpg")
            (root / split / "Annotations").mkdir(parents=True, exist_ok=True)
            (root / split / "Annotations" / f"{name}.xml").write_text(xml(shot))


def voc_beside(root: Path, shots: Shots) -> None:
    for split, images in shots.items():
        for name, shot in images.items():
            shot.write(root / split / f"{name}.jpg")
            (root / split / f"{name}.xml").write_text(xml(shot))


def yolo(root: Path, shots: Shots) -> None:
    (root / "data.yaml").write_text(
        "path: /home/someone/set\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    )
    _labels(root, shots, "{folder}/{split}/{name}")


def yolo_splits(root: Path, shots: Shots) -> None:
    (root / "classes.txt").write_text("cat\ndog\n")
    _labels(root, shots, "{split}/{folder}/{name}")


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
                f"{['cat', 'dog', 'cow'].index(label)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
                f"{(x2 - x1) / width} {(y2 - y1) / height}{extra}\n"
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
    "voc": (voc, lambda root, **how: read_voc_boxes(str(root), **how)),
    "voc folders": (voc_folders, lambda root, **how: read_voc_boxes(str(root), **how)),
    "voc beside": (voc_beside, lambda root, **how: read_voc_boxes(str(root), **how)),
    **{
        write.__name__.replace("_", " "): (write, lambda root, **how: read_yolo(str(root), **how))
        for write in (yolo, yolo_splits, yolo_scores, yolo_pose, yolo_darknet)
    },
    **{
        tool: (getattr(tool_exports, tool), lambda root, **how: read_tool_export(str(root), **how))
        for tool in ("labelme", "via", "label_studio", "cvat", "supervisely")
    },
    "table": (table, lambda root, **how: read_box_table(str(root / "boxes.csv"), **how)),
    "table fractions": (table_fractions, lambda root, **how: read_box_table(str(root / "boxes.csv"), **how)),
    "table headless": (
        table_headless, lambda root, **how: read_box_table(str(root / "boxes.csv"), columns=COLUMNS, **how)
    ),
    "tables": (tables, lambda root, **how: read_box_table(str(root), **how)),
}  # fmt: skip
SAYS_SIZES = [kind for kind in SOURCES if not kind.startswith(("yolo", "via"))]
CODES: dict[str, list[Code]] = {"coco": [3, 90], "coco text": ["3", "90"]}
OWN_NOTES = {
    "yolo scores": "lines that end in a score, read without it",
    "yolo pose": "objects with keypoints (kpt_shape), read as their boxes alone",
    "table fractions": "all boxes are between 0 and 1, read as fractions of their images",
}
"""What is said of every set of a form."""


ANY_CORNERS = ("labelme", "supervisely")
"""Formats whose boxes have their corners in any order."""


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def read(kind: str, tmp_path: Path) -> Callable[..., BoxSet]:
    """`read(shots)` writes a set and reads it; without the note that every set of its form has."""

    def call(shots: Shots, **how: Any) -> BoxSet:
        write, source = SOURCES[kind]
        write(tmp_path, shots)
        images = source(tmp_path, **how)
        own = [note for note in images.notes if kind in OWN_NOTES and OWN_NOTES[kind] in note]
        boxes = any(shot.objects for shots_of_split in shots.values() for shot in shots_of_split.values())
        assert len(own) == (boxes and kind in OWN_NOTES)
        return replace(images, notes=[note for note in images.notes if note not in own])

    return call


def found(images: BoxSet, split: str) -> dict[str, list[tuple[Any, ...]]]:
    """Returns the objects of a split by image name: label, x1, y1, x2, y2."""
    listing = images.splits[split]
    assert isinstance(listing, BoxListing)
    answer = {}
    for i, key in enumerate(listing.keys()):
        boxes, labels, crowd, area, _ = listing.objects(i)
        assert not crowd.any()
        assert area.tolist() == pytest.approx(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).tolist())
        lines = [
            (images.classes[label], *np.round(box.astype(float), 3))
            for label, box in zip(labels.tolist(), boxes, strict=True)
        ]
        answer[Path(key).stem] = lines
    return answer


def test_a_clean_set_is_read_without_notes(read: Callable[..., BoxSet], kind: str, tmp_path: Path) -> None:
    shots = plain()
    images = read(shots)
    assert images.notes == []
    assert images.classes == CLASSES
    assert images.codes == CODES.get(kind, [0, 1])
    for split, planted in shots.items():
        assert found(images, split) == {name: shot.objects for name, shot in planted.items()}
        listing = images.splits[split]
        for i, sample in enumerate(listing):
            assert Path(sample.path).is_file()
            assert sample.path == f"{tmp_path}/{sample.key}"
            assert listing.size(i) == planted[Path(sample.key).stem].size[::-1]
    assert images.splits["train"].class_counts(2).tolist() == [1, 2]


def test_boxes_are_clipped_and_degenerate_ones_skipped_by_name(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    shots["train"]["a"].objects += [("cat", -6, 4, 9, 34), ("cat", 50, 2, 60, 9)]
    if kind != "supervisely":  # where a box covers one pixel at least
        shots["train"]["a"].objects += [("dog", 5, 5, 5, 9)]
    if kind not in ANY_CORNERS:
        shots["val"]["d"].objects += [("cat", 9, 9, 4, 12)]
    counts = [2 - (kind in ANY_CORNERS), 1 - (kind == "supervisely")]
    images = read(shots)
    assert found(images, "train")["a"] == [*plain()["train"]["a"].objects, ("cat", 0, 4, 9, 30)]
    assert found(images, "val")["d"] == plain()["val"]["d"].objects
    clipped, degenerate = images.notes
    assert "clipped (1): " in clipped
    assert f"degenerate boxes, skipped ({sum(counts)}): " in degenerate
    assert clipped.count("(cat)") == 1
    assert [degenerate.count(f"({name})") for name in CLASSES] == counts
    assert "a." in clipped


def test_a_box_rounded_over_the_edge_is_clipped_without_a_note(read: Callable[..., BoxSet]) -> None:
    shots = plain()
    shots["train"]["c"].objects = [("dog", -0.4, 0, 40.6, 30)]
    images = read(shots)
    assert images.notes == []
    assert found(images, "train")["c"] == [("dog", 0, 0, 40, 30)]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_annotations_made_before_the_exif_rotation_rotate_with_the_image(
    read: Callable[..., BoxSet], kind: str, orientation: int
) -> None:
    """Orientations from 5 on swap the sides, which shows what was annotated; the others are treated like those."""
    shots = plain()
    objects = [("cat", 4, 5, 20, 25)]
    shots["train"]["a"] = Shot((40, 30), objects, orientation=orientation)
    shots["train"]["b"] = Shot((40, 30), objects, orientation=6)
    images = read(shots)
    listing = images.splits["train"]
    sizes = {Path(key).stem: listing.size(i) for i, key in enumerate(listing.keys())}
    assert sizes["a"] == ((40, 30) if orientation >= 5 else (30, 40))
    if kind not in SAYS_SIZES:
        assert found(images, "train")["a"] == objects, "what no size is said of is annotated upright"
        return
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:25, 4:20] = 255
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    rows, columns = np.nonzero(np.asarray(ImageOps.exif_transpose(image)))
    assert found(images, "train")["a"] == [("cat", columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    (note,) = images.notes
    assert "rotated by their EXIF data, their annotations with them (2)" in note


def test_annotations_of_the_upright_image_stay(read: Callable[..., BoxSet]) -> None:
    shots = plain()
    shots["train"]["a"] = Shot((30, 40), [("cat", 4, 5, 20, 25)], annotated=(40, 30), orientation=6)
    images = read(shots)
    assert images.notes == []
    assert found(images, "train")["a"] == [("cat", 4, 5, 20, 25)]


def test_every_fault_of_a_set_is_named_at_once(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    shots["train"]["lost"] = Shot(objects=[("cat", 1, 1, 5, 5)], file=False)
    shots["train"]["odd"] = Shot(annotated=(44, 30), objects=[("cat", 1, 1, 5, 5)])
    shots["train"]["nan"] = Shot(objects=[("cat", 1, 1, 5, 5), ("dog", NAN, 1, 5, 5)])
    shots["val"]["cow"] = Shot(objects=[("cow", 1, 1, 5, 5)])
    with pytest.raises(DataError) as caught:
        read(shots).usable()
    first, *faults = str(caught.value).splitlines()
    expected = ["lost", "odd", "nan", "cow"] if kind in SAYS_SIZES else ["lost", "nan", "cow"]
    assert f"has {len(expected)} faults:" in first
    assert len(faults) == len(expected)
    names = {"lost": "lost", "odd": "odd", "nan": "nan", "cow": "category 55" if kind in CODES else "cow"}
    for name in expected:
        assert sum(names[name] in fault for fault in faults) == 1
    assert not kind.startswith("yolo") or any("has the class 2" in fault for fault in faults)
    assert any("is 40 x 30 pixels, but annotated as 44 x 30" in fault for fault in faults) == (kind in SAYS_SIZES)


def test_images_in_two_splits_are_noted(read: Callable[..., BoxSet], kind: str) -> None:
    if kind not in ("coco", "voc"):
        pytest.skip("its splits are folders, or a column")
    shots = plain()
    shots["val"]["a"] = shots["train"]["a"]
    (note,) = read(shots).notes
    assert "images both in train and in val (1): " in note
    assert note.endswith("/a.jpg")


def test_a_zip_of_a_set_is_read_in_place(read: Callable[..., BoxSet], kind: str, tmp_path: Path) -> None:
    if kind.startswith("table"):
        pytest.skip("the CSV lies outside")
    expected = read(plain())
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path)
    images = SOURCES[kind][1](Path(archive))
    assert {split: found(images, split) for split in images.splits} == {
        split: found(expected, split) for split in expected.splits
    }
    assert images.splits["train"][0].path.startswith(f"{archive}/")


def test_a_set_without_a_box_is_refused(read: Callable[..., BoxSet]) -> None:
    with pytest.raises(DataError, match=r"has 1 fault:\n.*train has no boxes at all"):
        read({"train": {"a": Shot(), "b": Shot()}, "val": {"c": Shot()}}, classes=CLASSES).usable()


def test_a_checkpoints_classes_give_the_order_and_must_be_known(read: Callable[..., BoxSet], kind: str) -> None:
    shots = plain()
    images = read(shots, classes=CLASSES[::-1])
    assert images.classes == ["dog", "cat"]
    assert found(images, "val") == {name: shot.objects for name, shot in shots["val"].items()}
    assert images.codes == (CODES[kind][::-1] if kind in CODES else [1, 0] if kind.startswith("yolo") else [0, 1])
    with pytest.raises(DataError, match="dog"):
        SOURCES[kind][1](Path(images.splits["train"].root), classes=["cat", "bird"]).usable()
