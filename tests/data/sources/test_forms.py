"""The form of a data set is detected from what lies in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.sources.forms import form_of, forms_of
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.errors import DataError
from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples"


@pytest.mark.parametrize(
    ("name", "module"),
    [("classification", "ImageFolder"), ("detection", "CocoDetection"), ("segmentation", "MaskFolder")],
)
def test_our_samples(name: str, module: str) -> None:
    form = form_of(str(SAMPLES / name))
    assert (form.task, form.module) == (name, module)


def write(root: Path, form: str) -> Path:
    """The smallest set of a form."""
    folders = {"voc": ["JPEGImages", "Annotations", "ImageSets/Main"], "yolo": ["images", "labels"]}
    for folder in folders.get(form, ["."]):
        (root / folder).mkdir(parents=True, exist_ok=True)
    image = {"voc": "JPEGImages/a.jpg", "yolo": "images/a.jpg"}.get(form, "a.jpg")
    Image.new("RGB", (8, 8)).save(root / image)
    if form == "voc":
        (root / "Annotations/a.xml").write_text("<annotation/>")
    elif form == "xml":
        (root / "a.xml").write_text("<annotation/>")
    elif form == "yolo":
        (root / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    elif form == "cvat":
        (root / "annotations.xml").write_text('<annotations><image name="a.jpg"/></annotations>')
    elif form == "labelme":
        (root / "a.json").write_text(json.dumps({"shapes": [], "imagePath": "a.jpg"}))
    elif form == "coco":
        (root / "x.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    elif form == "boxes":
        (root / "boxes.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n")
    elif form == "headless":
        (root / "boxes.csv").write_text("a.jpg,1,2,3,4,cat\n")
    elif form == "tables":
        for split in ("train", "val"):
            (root / f"{split}_labels.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n")
    elif form == "openimages":
        (root / "boxes.csv").write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\n")
    elif form == "table":
        (root / "labels.csv").write_text("path,label\na.jpg,cat\n")
    return root


@pytest.mark.parametrize(
    ("form", "module"),
    [
        ("voc", "VOCDetection"),
        ("xml", "VOCDetection"),
        ("yolo", "YoloDetection"),
        ("cvat", "ToolDetection"),
        ("labelme", "ToolDetection"),
        ("coco", "CocoDetection"),
        ("boxes", "BoxTable"),
        ("headless", "BoxTable"),
        ("tables", "BoxTable"),
        ("openimages", "BoxTable"),
        ("table", "ImageTable"),
    ],
)
def test_each_form_is_distinguished_from_the_others(tmp_path: Path, form: str, module: str) -> None:
    assert form_of(str(write(tmp_path, form))).module == module


def test_a_task_chooses_among_forms(tmp_path: Path) -> None:
    root = str(write(tmp_path, "coco"))
    assert form_of(root, "segmentation").module == "CocoSegmentation"
    with pytest.raises(DataError, match=r"holds data for detection \(x\.json is in COCO's format\), not for classif"):
        form_of(root, "classification")


def test_a_folder_of_images_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no known form: expected folders of images named after classes"):
        forms_of(str(write(tmp_path, "none")))


def test_what_lies_in_a_folder_of_no_known_form_is_named(tmp_path: Path) -> None:
    (write(tmp_path, "none") / "train.csv").write_text("id,breed\na,pug\n")
    with pytest.raises(DataError, match=r" \(1 images; train\.csv with the columns id, breed\) has no known form"):
        forms_of(str(tmp_path))


def test_a_class_spelled_with_composed_and_decomposed_accents_is_named_once(tmp_path: Path) -> None:
    for folder in ("train/caf\u00e9", "train/tea", "val/cafe\u0301"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "a.jpg")
    assert form_of(str(tmp_path)).why == "images in folders named caf\u00e9, tea"


def test_a_form_one_level_deeper_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "set" / "images" / label).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "set" / "images" / label / "a.jpg")
    deeper = r"set/images is one for ImageFolder \(images in folders named cat, dog\): is the root one level deeper\?"
    with pytest.raises(DataError, match=rf"no known form: expected folders of images named .*; .*{deeper}"):
        form_of(str(tmp_path / "set"), "classification")
    with pytest.raises(DataError, match=r"no known form: expected COCO [^;]*$"):
        form_of(str(tmp_path / "set"), "detection")


def test_a_tools_export_is_named_by_the_other_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"; --data ToolDetection reads it: annotations\.xml is of CVAT"):
        read_yolo(str(write(tmp_path, "cvat")))
