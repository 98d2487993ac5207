"""A recipe need not name the class of its data: it is detected from what lies at `data.root`, for the model's task."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from resnet_tl.errors import DataError, RecipeError
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.run.build import compose, faults_of
from resnet_tl.run.data import open_data
from resnet_tl.run.plan import plan_text

SAMPLES = shipped_root() / "data" / "samples"
SAMPLE_OF = {"Classification": "classification", "Detection": "detection", "Segmentation": "segmentation"}
CLASS_OF = {"Classification": "ImageFolder", "Detection": "CocoDetection", "Segmentation": "MaskFolder"}


def recipe(task: str = "Classification", data: Any = None) -> dict[str, Any]:
    model = {"class_path": task, "init_args": {"backbone": {"name": "resnet_tiny"}}}
    return {"model": model, **({} if data is None else {"data": data})}


def class_of(resolved: dict[str, Any]) -> str:
    return str(resolved["data"]["class_path"]).rpartition(".")[2]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("path,label\na.png,cat\nb.png,dog\n")
    return tmp_path / "labels.csv"


@pytest.mark.parametrize("task", SAMPLE_OF)
def test_the_class_is_that_of_the_task_and_of_the_folder(task: str, caplog: pytest.LogCaptureFixture) -> None:
    root = str(SAMPLES / SAMPLE_OF[task])
    with caplog.at_level(logging.INFO, "resnet_tl"):
        resolved = compose([recipe(task, {"root": root, "batch_size": 3})])
    assert class_of(resolved) == CLASS_OF[task]
    assert (resolved["data"]["init_args"]["root"], resolved["data"]["init_args"]["batch_size"]) == (root, 3)
    assert any(line.startswith(f"{root}: read by {CLASS_OF[task]} (") for line in caplog.messages)


@pytest.mark.parametrize(
    "data",
    [
        "data: AnyData\n",
        "data: {class_path: AnyData}\n",
        "data: {init_args: {image_size: 32}}\n",
        "data: {image_size: 32}\n",
        "data:\n",
        "",
    ],
)
def test_every_way_to_leave_it_out(tmp_path: Path, data: str) -> None:
    file = tmp_path / "photos.yaml"
    file.write_text(yaml.safe_dump(recipe()) + data)
    assert class_of(compose([str(file)], [("data.root", str(SAMPLES / "classification"))])) == "ImageFolder"


def test_a_resolved_recipe_needs_no_second_detection(caplog: pytest.LogCaptureFixture) -> None:
    resolved = compose([recipe(data={"root": str(SAMPLES / "classification")})])
    caplog.clear()
    with caplog.at_level(logging.INFO, "resnet_tl"):
        assert compose([resolved], [("data.root", "elsewhere")])["data"]["init_args"]["root"] == "elsewhere"
    assert caplog.messages == []


def test_a_table_in_the_folder_or_as_the_root_is_the_classs_csv(table: Path) -> None:
    for root in (table, table.parent):
        data = compose([recipe(data={"root": str(root)})])["data"]
        assert data["class_path"].endswith(".ImageTable")
        assert (data["init_args"]["csv"], data["init_args"]["root"]) == (str(table), None)
    assert class_of(compose([recipe(data={"csv": str(table), "root": str(table.parent)})])) == "ImageTable"


def test_a_shipped_recipe_takes_any_form_by_one_word() -> None:
    root = str(SAMPLES / "detection")
    resolved = compose(["detect/coco_fcos_resnet50"], [("data", "AnyData"), ("data.root", root)])
    assert class_of(resolved) == "CocoDetection"
    named = compose(["detect/coco_fcos_resnet50"], [("data.root", root)])["data"]["init_args"]
    assert resolved["data"]["init_args"]["image_size"] == named["image_size"]
    for data in ("CocoDetection", "AnyData"):
        over = compose(["detect/folder_fcos_resnet50"], [("data", data), ("data.root", root)])
        assert over == compose(["detect/folder_fcos_resnet50"], [("data.root", root)])


def test_an_overlay_may_leave_class_and_init_args_out(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {root: photos, classes: [cat, dog]}\n")
    data = compose(["quickstart", str(tmp_path / "mine.yaml")])["data"]
    assert data["class_path"].endswith(".ImageFolder")
    assert (data["init_args"]["root"], data["init_args"]["image_size"]) == ("photos", 32)


def test_check_reads_no_data_and_lists_options_that_no_class_of_the_task_takes() -> None:
    assert faults_of([recipe(data={"root": "nowhere", "augment": "light"})]) == []
    assert faults_of([recipe(data={"csv": "nowhere.csv", "path_column": "file"})]) == []
    assert faults_of([recipe("Detection", {"root": "nowhere", "tool": "labelme"})]) == []
    (fault,) = faults_of([recipe("Detection", {"root": "nowhere", "tool": "labelme", "path_column": "file"})])
    assert "unknown key 'path_column' under data" in fault
    (fault,) = faults_of([recipe()])
    assert fault == "data.root is missing: add --data.root VALUE or write it in the recipe"
    fault, _ = faults_of([recipe(data={"clas_path": "ImageFolder", "root": "photos"})])
    assert "unknown key 'clas_path' under data; did you mean 'class_path'?" in fault


def test_options_are_checked_against_the_class_that_was_found() -> None:
    data = {"root": str(SAMPLES / "detection"), "tool": "labelme"}
    assert faults_of([recipe("Detection", data)]) == []
    with pytest.raises(RecipeError, match="unknown key 'tool' under data"):
        compose([recipe("Detection", data)])


def test_data_of_another_task_or_of_none_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"detection holds data for detection \(.*\), not for classification: expected .*ImageTable"
    ):
        compose([recipe(data={"root": str(SAMPLES / "detection")})])
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"has no known form: expected .*ImageFolder.* \(ImageTable\)$"):
        compose([recipe(data={"root": str(tmp_path)})])
    with pytest.raises(DataError, match=r"has no known form: expected .*ImageFolder.*CocoDetection.*MaskFolder"):
        open_data([], [], str(tmp_path))


def two_forms(root: Path) -> Path:
    """COCO's json next to one of labelme."""
    Image.new("RGB", (8, 8)).save(root / "a.jpg")
    (root / "a.json").write_text(json.dumps({"shapes": [], "imagePath": "a.jpg"}))
    (root / "x.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    return root


def test_where_several_classes_fit_their_options_choose_or_both_are_named(tmp_path: Path) -> None:
    root = str(two_forms(tmp_path))
    message = (
        r"can be read in several ways: set data.class_path to ToolDetection \(a.json is of labelme\), or CocoDetec"
    )
    with pytest.raises(DataError, match=message):
        compose([recipe("Detection", {"root": root})])
    chosen = compose([recipe("Detection", {"root": root, "annotations": {"train": "x.json"}})])
    assert class_of(chosen) == "CocoDetection"


def test_an_option_of_one_class_chooses_it_over_those_of_other_tasks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("img", "seg"):
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a" / f"{name}.png")
    (tmp_path / "a/img.xml").write_text("<annotation/>")
    globs = [("data.images", "*/img.png"), ("data.masks", "*/seg.png"), ("data.val_fraction", "1")]
    data = open_data([], globs, str(tmp_path))
    assert data.classes == ["0", "1"]
    assert data.notes[0] == f"{tmp_path}: read by MaskFolder (the only one that takes these options)"


def test_another_class_does_not_inherit_where_the_old_ones_data_lay(tmp_path: Path) -> None:
    masks = {"class_path": "MaskFolder", "init_args": {"root": "masks"}}
    with pytest.raises(RecipeError, match=r"^data\.root is missing: add --data\.root"):
        compose([recipe("Segmentation", masks)], [("data", "PascalVOC")])
    for data in ({"root": "masks"}, {"class_path": "AnyData", "init_args": {"root": "masks"}}):
        named = compose([recipe("Segmentation", data)], [("data", "PascalVOC")])["data"]
        assert (class_of({"data": named}), named["init_args"]["root"]) == ("PascalVOC", "masks")
    data = compose(["quickstart"], [("data.class_path", "ImageTable"), ("data.csv", "labels.csv")])["data"]
    assert (data["init_args"]["root"], data["init_args"]["image_size"]) == (None, 32)
    same = compose(["quickstart"], [("data.class_path", "resnet_tl.data.classification.ImageFolder")])
    assert same["data"]["init_args"]["root"].endswith("classification")


def test_the_path_of_a_check_is_the_table_of_a_class_that_needs_one(table: Path) -> None:
    table.write_text("path,label,x1,y1,x2,y2\na.png,cat,0,0,4,4\nb.png,dog,0,0,4,4\n")
    for root in (table, table.parent):
        data = open_data([], [("data", "BoxTable"), ("data.val_fraction", "1")], str(root))
        assert data.classes == ["cat", "dog"]


def test_the_check_of_a_path_detects_in_the_same_way(table: Path, tmp_path: Path) -> None:
    for root in (table, table.parent):
        data = open_data([], [("data.val_fraction", "1")], str(root))
        assert data.classes == ["cat", "dog"]
        assert data.notes[0] == f"{root}: read by ImageTable (labels.csv has the columns path and label)"
    with pytest.raises(RecipeError, match=r"data\.root is missing"):
        open_data([recipe()], [])


@pytest.mark.parametrize("data", [{"channels": 1}, {"class_path": "ImageFolder", "init_args": {"channels": 1}}])
def test_the_network_takes_images_of_as_many_channels_as_the_data(data: dict[str, Any]) -> None:
    root = ("data.root", str(SAMPLES / "classification"))
    assert compose([recipe(data=data)], [root])["model"]["init_args"]["backbone"]["in_channels"] == 1
    assert "stem" in plan_text([recipe(data=data)], [root, ("trainer.max_epochs", 1)])
    assert compose([recipe()], [root, ("data.channels", "1")])["model"]["init_args"]["backbone"]["in_channels"] == 1
    assert compose([recipe()], [root])["model"]["init_args"]["backbone"]["in_channels"] == 3


def test_other_channels_than_the_datas_are_a_fault_before_data_is_read() -> None:
    given = [("data.root", "nowhere"), ("model.backbone.in_channels", "3"), ("data.channels", "1")]
    (fault,) = faults_of([recipe()], given)
    assert fault == (
        "--model.backbone.in_channels is 3, but data.channels is 1: set data.channels alone, in_channels follows it"
    )
