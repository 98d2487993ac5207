"""The forms in which people bring data: read with the class of the data left out, with an option, or explained.

The table of `docs/reference/forms.md` is this list.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import object_writers as objects
import pytest
import test_mask_forms as masks
import tool_exports
from PIL import Image

from resnet_tl.errors import DataError
from resnet_tl.run.build import build_data, compose
from resnet_tl.run.data import pack_data
from tests.docs.doc_blocks import ROOT

TASKS = ("Classification", "Detection", "Segmentation")


@dataclass
class Form:
    """write: a set of five images. module: what reads it; "" where nothing does, and a sentence that matches `refused`
    says what to change. options: of the data, where it is not read by itself. root: what lies in the folder. images:
    how many are listed. classes: some of them."""

    name: str
    module: str
    write: Callable[[Path], object]
    options: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    refused: str = ""
    images: int = 5
    classes: list[str] = field(default_factory=lambda: ["cat", "dog"])

    @property
    def row(self) -> str:
        """The form's line in the table of the documentation."""
        options = " ".join(f"`data.{name}`" for name in self.options)
        module = f"`{self.module}`" if self.module else "not read; a sentence says what is"
        return f"| {self.name} | {module} | {options} |"


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (value, 90, 90)).save(path)
    return path


LABELLED = {"a": "cat", "b": "dog", "c": "cat", "d": "dog", "e": "cat"}


def class_folders(root: Path, top: str = "") -> None:
    for name, label in LABELLED.items():
        split = {"train": "train" if name < "c" else "val", "": ""}[top]
        image(root / split / label / f"{name}.jpg")


def zipped(root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        class_folders(Path(folder))
        shutil.make_archive(str(root / "photos"), "zip", folder)


def tars(root: Path, as_json: bool = False) -> None:
    for name, label in LABELLED.items():
        image(root / f"{name}.jpg")
        classes = root / f"{name}.{'json' if as_json else 'cls'}"
        classes.write_text(json.dumps({"label": label}) if as_json else str(int(label == "dog")))
    members = sorted(root.iterdir())
    for split, part in (("train", "abc"), ("val", "de")):
        with tarfile.open(root / f"{split}-000000.tar", "w") as tar:
            for member in members:
                if member.stem in part:
                    tar.add(member, member.name)
    for member in members:
        member.unlink()


def label_table(root: Path, columns: str = "path,label", address: str = "", several: str = "") -> None:
    lines = []
    for name, label in LABELLED.items():
        image(root / f"{name}.jpg")
        lines.append(f"{address}{name}.jpg,{label}{several}")
    (root / "labels.csv").write_text("\n".join([columns, *lines]) + "\n")


def parquet(root: Path, inside: bool) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    writer = pytest.importorskip("pyarrow.parquet")
    files = [image(root / f"{name}.jpg") for name in LABELLED]
    cells = {"image": [{"bytes": file.read_bytes(), "path": file.name} for file in files]}
    columns = {**(cells if inside else {"path": [file.name for file in files]}), "label": [*LABELLED.values()]}
    writer.write_table(pyarrow.table(columns), root / "train-00000-of-00001.parquet")


def saved_by_datasets(root: Path) -> None:
    for name in ("dataset_info.json", "state.json", "data-00000-of-00001.arrow"):
        (root / name).write_text("{}")


def packed(root: Path, write: Callable[[Path], object]) -> None:
    pytest.importorskip("litdata")
    files = root / "files"
    files.mkdir()
    write(files)
    pack_data([], [], str(files), str(root / "packed"))


CLASSES = [
    Form("one folder per class", "ImageFolder", class_folders),
    Form("folders of classes in train/ and val/", "ImageFolder", lambda root: class_folders(root, "train")),
    Form("a zip of these", "ImageFolder", zipped, root="photos.zip"),
    Form("a CSV of paths and labels", "ImageTable", label_table),
    Form("a CSV with several labels per image", "ImageTable", lambda root: label_table(root, several="|indoors")),
    Form(
        "a CSV with other column names", "ImageTable", lambda root: label_table(root, "filename,class"),
        {"path_column": "filename", "label_column": "class"}, "labels.csv",
    ),
    Form("Parquet with paths", "ImageTable", lambda root: parquet(root, False)),
    Form("Parquet with images, as Hugging Face's datasets writes it", "ImageTable", lambda root: parquet(root, True)),
    Form("shards of `data pack`", "Shards", lambda root: packed(root, class_folders), root="packed"),
    Form("tars of the WebDataset library, with numbers (.cls)", "WebDataset", tars, classes=["0", "1"]),
    Form("tars of the WebDataset library, with JSON", "WebDataset", lambda root: tars(root, as_json=True),
         options={"label": "json.label"}),
    Form("a CSV of URLs", "", lambda root: label_table(root, address="https://x.org/"), refused="download the images"),
    Form("a folder saved by Hugging Face's datasets", "", saved_by_datasets, refused="expected Parquet"),
]  # fmt: skip


def of_objects(write: objects.Write) -> Callable[[Path], object]:
    return lambda root: write(root, objects.plain())


def coco_roboflow(root: Path, shots: objects.Shots) -> None:
    """A json in each split's folder, with the images; category 0 has no objects."""
    with tempfile.TemporaryDirectory() as folder:
        objects.coco(Path(folder), shots)
        for split, images in shots.items():
            document = json.loads((Path(folder) / f"instances_{split}.json").read_text())
            document["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})
            (root / split).mkdir()
            (root / split / "_annotations.coco.json").write_text(json.dumps(document))
            for name in images:
                shutil.copy(Path(folder) / "images" / f"{name}.jpg", root / split)


def coco_polygons(root: Path, shots: objects.Shots, runs: bool = False) -> None:
    objects.coco(root, shots)
    for split in shots:
        path = root / f"instances_{split}.json"
        document = json.loads(path.read_text())
        for annotation in document["annotations"]:
            x, y, width, height = annotation["bbox"]
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotation["segmentation"] = [corners]
        path.write_text(json.dumps(document))


def voc_flat(root: Path, shots: objects.Shots, folder: str = "JPEGImages", lists: str = "") -> None:
    (root / "Annotations").mkdir()
    for images in shots.values():
        for name, shot in images.items():
            shot.write(root / folder / f"{name}.jpg")
            (root / "Annotations" / f"{name}.xml").write_text(objects.xml(shot))
    if lists:
        (root / "ImageSets" / "Main").mkdir(parents=True)
        names = [name for images in shots.values() for name in images]
        (root / "ImageSets" / "Main" / lists).write_text("\n".join(names) + "\n")
        (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\ncat:128,0,0::\ndog:0,128,0::\n")


def yolo_polygons(root: Path, shots: objects.Shots) -> None:
    """Lines of a class and the corners of a polygon, which for four corners are also what oriented boxes are."""
    objects.yolo(root, shots)
    for path in (root / "labels").rglob("*.txt"):
        lines = []
        for line in path.read_text().splitlines():
            label, *box = line.split()
            x, y, width, height = map(float, box)
            left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            lines.append(f"{label} {left} {top} {right} {top} {right} {bottom} {left} {bottom}\n")
        path.write_text("".join(lines))


def yolo_outlines(root: Path, shots: objects.Shots) -> None:
    yolo_polygons(root, shots)
    for path in (root / "labels").rglob("*.txt"):
        lines = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(" ".join([*words, *words[1:3]]) + "\n" for words in lines))


def openimages(root: Path, shots: objects.Shots) -> None:
    with open(root / "train-annotations-bbox.csv", "w", newline="") as file:
        file.write("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf\n")
        rows = csv.writer(file)
        for images in shots.values():
            for name, shot in images.items():
                shot.write(root / "train" / f"{name}.jpg")
                width, height = shot.size
                for label, x1, y1, x2, y2 in shot.objects:
                    box = (x1 / width, x2 / width, y1 / height, y2 / height)
                    rows.writerow([name, "xclick", f"/m/0{label}", 1, *box, 0, 0])
    (root / "class-descriptions-boxable.csv").write_text("/m/0cat,cat\n/m/0dog,dog\n")


OBJECTS = [
    Form("COCO's json", "CocoDetection", of_objects(objects.coco)),
    Form("COCO's json in the folders of the splits (Roboflow)", "CocoDetection", of_objects(coco_roboflow)),
    Form("COCO's json with ids as text", "CocoDetection", of_objects(objects.coco_text)),
    Form("COCO's json with polygons", "CocoDetection", of_objects(coco_polygons)),
    Form("Pascal VOC with ImageSets/Main", "VOCDetection", of_objects(objects.voc)),
    Form("Pascal VOC with CVAT's ImageSets/Main/default.txt", "VOCDetection",
         of_objects(lambda root, shots: voc_flat(root, shots, lists="default.txt"))),
    Form("Pascal VOC without ImageSets", "VOCDetection", of_objects(voc_flat)),
    Form("XML files in Annotations/ and images in images/", "VOCDetection",
         of_objects(lambda root, shots: voc_flat(root, shots, "images"))),
    Form("Pascal VOC in the folders of the splits", "VOCDetection", of_objects(objects.voc_folders)),
    Form("XML files next to the images", "VOCDetection", of_objects(objects.voc_beside)),
    Form("YOLO with data.yaml", "YoloDetection", of_objects(objects.yolo)),
    Form("YOLO in the folders of the splits, with classes.txt", "YoloDetection", of_objects(objects.yolo_splits)),
    Form("YOLO with polygons", "YoloDetection", of_objects(yolo_outlines)),
    Form("YOLO with oriented boxes (OBB)", "YoloDetection", of_objects(yolo_polygons)),
    Form("YOLO with scores, paths as on Windows", "YoloDetection", of_objects(objects.yolo_scores)),
    Form("YOLO with keypoints (pose)", "YoloDetection", of_objects(objects.yolo_pose)),
    Form("YOLO as Darknet's lists (CVAT's YOLO 1.1)", "YoloDetection", of_objects(objects.yolo_darknet)),
    Form("a CSV of boxes in pixels", "BoxTable", of_objects(objects.table)),
    Form("a CSV of boxes in fractions", "BoxTable", of_objects(objects.table_fractions)),
    Form("a CSV of boxes in each folder of the splits", "BoxTable", of_objects(objects.tables)),
    Form("a CSV of boxes without a header", "BoxTable", of_objects(objects.table_headless),
         {"columns": objects.COLUMNS}),
    Form("OpenImages' CSV", "BoxTable", of_objects(openimages), images=4),
    Form("labelme's JSON", "ToolDetection", of_objects(tool_exports.labelme)),
    Form("VGG Image Annotator's JSON", "ToolDetection", of_objects(tool_exports.via)),
    Form("VGG Image Annotator 3's JSON", "ToolDetection", of_objects(tool_exports.via3)),
    Form("Label Studio's JSON", "ToolDetection", of_objects(tool_exports.label_studio)),
    Form("CVAT for images 1.1", "ToolDetection", of_objects(tool_exports.cvat)),
    Form("Supervisely's projects", "ToolDetection", of_objects(tool_exports.supervisely)),
    Form("shards of `data pack`", "DetectionShards", lambda root: packed(root, of_objects(objects.coco)),
         root="packed"),
]  # fmt: skip

MASK_NAMES = {
    "grey": "masks of class values (grey PNG)",
    "palette": "masks with a palette",
    "three equal channels": "masks with three equal channels",
    "three equal channels and transparency": "masks with three equal channels and transparency",
    "grey and transparency": "masks with transparency",
    "16 bits": "masks of 16 bits",
    "0 and 255": "masks of 0 and 255",
    "0 and 255 in BMP": "masks of 0 and 255 in BMP",
    "0 and 255 in three channels": "masks of 0 and 255 in three channels",
    "0 and 255 by ids": "masks of 0 and 255 with these ids in classes.csv",
    "0, 128 and 255 by ids": "masks of 0, 128 and 255 with these ids in classes.csv",
    "arrays": "masks as NumPy arrays (.npy)",
    "0 and 65535": "masks of 0 and 65535",
    "JPEG": "masks of two classes in JPEG",
    "JPEG in three channels": "masks of two classes in JPEG with three channels",
    "JPEG that became PNG": "masks of two classes with the edges of a JPEG",
    "colours of classes.csv": "masks in the colours of classes.csv",
    "colours of class_dict.csv": "masks in the colours of CamVid's class_dict.csv",
    "palettes of any order": "masks with a different palette in each",
    "no class file": "masks without a file of class names",
    "no class file, 0 and 255": "masks of 0 and 255 without a file of class names",
    "images and masks": "images/ and masks/ without splits",
    "images and labels": "images/ and labels/",
    "img and ann": "img/ and ann/ in the folders of the splits",
    "images/train and masks/train": "images/train/ and masks/train/",
    "train_images and train_masks": "train_images/ and train_masks/",
    "train and trainannot": "train/ and trainannot/ (CamVid)",
    "ADE20K": "images/training/ and annotations/training/ (ADE20K)",
    "folders below": "folders below images/ and masks/",
    "MMSegmentation": "img_dir/ and ann_dir/ (MMSegmentation)",
    "nnU-Net": "imagesTr/ and labelsTr/ (nnU-Net)",
    "input and target": "input/ and target/",
    "Oxford pets": "images/ and annotations/trimaps/ (Oxford pets)",
    "suffix": "masks with a suffix, 7_mask.png",
    "prefix": "masks with a prefix, mask_7.png",
    "suffixes on both sides": "suffixes of images and masks, 7_sat.jpg and 7_mask.png",
    "images and masks in one folder": "images and masks in one folder",
    "Roboflow": "Roboflow's masks",
    "globs": "any other pairs, by globs",
    "rotated by EXIF": "images rotated by EXIF data, with masks of the file",
    "CVAT": "CVAT's Segmentation mask 1.1 (labelmap.txt)",
    "labelme2voc": "labelme2voc's folders",
    "zip": "a zip of images and masks",
}


def of_masks(form: masks.Form) -> Callable[[Path], object]:
    renamed = {"train": "training", "val": "validation"} if form is masks.ADE20K else {"train": "train", "val": "val"}
    return lambda root: form.write(root, {renamed[split]: drawn for split, drawn in masks.drawn(3, form).items()})


def pascal_voc(root: Path) -> None:
    """The published set: masks with its palette, lists of names."""
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, drawn in masks.drawn(3, masks.FORMS["palette"]).items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in drawn))
        for name, values in drawn.items():
            masks.photo(root / "JPEGImages" / f"{name}.jpg", values)
            (root / "SegmentationClass").mkdir(exist_ok=True)
            masks.indexed(root / "SegmentationClass" / f"{name}.png", values)


def cityscapes(root: Path) -> None:
    for split, drawn in masks.drawn(3, masks.FORMS["grey"]).items():
        for name, values in drawn.items():
            masks.photo(root / "leftImg8bit" / split / "ulm" / f"ulm_{name}_leftImg8bit.png", values)
            masks.save(root / "gtFine" / split / "ulm" / f"ulm_{name}_gtFine_labelIds.png", values + 7)


def outlined(tool: str) -> Callable[[Path], object]:
    """An annotation tool's export with polygons in place of boxes."""

    def corners(x1: float, y1: float, x2: float, y2: float) -> list[list[float]]:
        return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]

    def as_polygon(content: Any) -> Any:
        if isinstance(content, list):
            return [as_polygon(item) for item in content]
        if not isinstance(content, dict):
            return content
        content = {key: as_polygon(value) for key, value in content.items()}
        if content.get("shape_type") == "rectangle":
            (x2, y1), (x1, y2) = content["points"]
            content |= {"shape_type": "polygon", "points": corners(x1, y1, x2, y2)}
        elif content.get("name") == "rect":
            x, y, width, height = (content[key] for key in ("x", "y", "width", "height"))
            xs, ys = zip(*corners(x, y, x + width, y + height), strict=True)
            content = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
        elif content.get("type") == "rectanglelabels":
            x, y, width, height = (content["value"][key] for key in ("x", "y", "width", "height"))
            labels, points = content["value"]["rectanglelabels"], corners(x, y, x + width, y + height)
            content |= {"type": "polygonlabels", "value": {"points": points, "polygonlabels": labels}}
        elif content.get("geometryType") == "rectangle":
            (x1, y1), (x2, y2) = content["points"]["exterior"]
            content |= {"geometryType": "polygon", "points": {"exterior": corners(x1, y1, x2, y2), "interior": []}}
        return content

    def write(root: Path) -> None:
        getattr(tool_exports, tool)(root, objects.plain())
        for file in root.rglob("*.json"):
            file.write_text(json.dumps(as_polygon(json.loads(file.read_text()))))
        for file in root.rglob("*.xml"):
            box = r'<box label="(.*?)" (.*?) xtl="(.*?)" ytl="(.*?)" xbr="(.*?)" ybr="(.*?)" (.*?)>(.*?)</box>'
            polygon = r'<polygon label="\1" \2 points="\3,\4;\5,\4;\5,\6;\3,\6" \7>\8</polygon>'
            file.write_text(re.sub(box, polygon, file.read_text()))

    return write


MASKS = [
    *(
        Form(MASK_NAMES[name], "PascalVOC" if name == "CVAT" else "MaskFolder", of_masks(form), form.options, form.root,
             classes=form.names)
        for name, form in {**masks.FORMS, "ADE20K": masks.ADE20K}.items()
    ),
    Form("Pascal VOC's segmentation set", "PascalVOC", pascal_voc, classes=["aeroplane", "bicycle"]),
    Form("Cityscapes", "Cityscapes", cityscapes, classes=["road", "sidewalk"]),
    Form("COCO's json, its polygons painted", "CocoSegmentation", of_objects(coco_polygons)),
    Form("labelme's JSON, painted", "ToolSegmentation", outlined("labelme")),
    Form("VGG Image Annotator's JSON, painted", "ToolSegmentation", outlined("via")),
    Form("Label Studio's JSON, painted", "ToolSegmentation", outlined("label_studio")),
    Form("CVAT for images 1.1, painted", "ToolSegmentation", outlined("cvat")),
    Form("Supervisely's projects, painted", "ToolSegmentation", outlined("supervisely")),
    Form("shards of `data pack`", "SegmentationShards", lambda root: packed(root, cityscapes),
         root="packed", classes=["road", "sidewalk"]),
]  # fmt: skip

FORMS = {"Classification": CLASSES, "Detection": OBJECTS, "Segmentation": MASKS}


def recipe(task: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"class_path": task, "init_args": {"backbone": {"name": "resnet_tiny"}}}, "data": data}


@pytest.mark.parametrize(
    ("task", "form"),
    [pytest.param(task, form, id=f"{task}-{form.name}") for task, forms in FORMS.items() for form in forms],
)
def test_the_class_of_the_data_may_be_left_out(task: str, form: Form, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    form.write(root)
    data = {"root": str(root / form.root) if form.root else str(root), "cache_dir": str(tmp_path / "cache")}
    if not form.module:
        with pytest.raises(DataError, match=form.refused):
            build_data(compose([recipe(task, data)]))
        return
    resolved = compose([recipe(task, {**data, **form.options, "val_fraction": 0.4})])
    assert resolved["data"]["class_path"].rpartition(".")[2] == form.module
    module = build_data(resolved)
    assert sum(map(len, module.listings.values())) == form.images
    assert set(module.classes) >= set(form.classes)
    if form.options:
        with pytest.raises(DataError):
            build_data(compose([recipe(task, data)]))


def test_the_documentation_has_this_table() -> None:
    lines = (ROOT / "docs" / "reference" / "forms.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| you have", "| ---"))]
    assert rows == [form.row for forms in FORMS.values() for form in forms]


def test_nearly_all_forms_of_boxes_and_masks_load_by_themselves() -> None:
    forms = [*OBJECTS, *MASKS]
    assert len(forms) >= 46
    assert sum(bool(form.options) for form in forms) == 2
    assert all(form.module for form in forms)
