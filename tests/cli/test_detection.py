"""`fit`, `validate` and `predict` of detectors, on our samples."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from pycocotools.coco import COCO

import resnet_tl as package
from resnet_tl.cli.main import main
from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples" / "detection"
RECIPE = """\
model:
  class_path: Detection
  init_args:
    backbone: {name: resnet_tiny, norm: group}
    neck: {class_path: FPN, init_args: {channels: 16, outputs: [p2, p3, p4], extra: pool}}
    head: {class_path: MaskRCNN, init_args: {score_threshold: 0.01, detections: 5, samples: 8}}
    optimizer: {name: adamw, lr: 0.001}
data:
  class_path: CocoDetection
  init_args: {image_size: 64, batch_size: 8, num_workers: 0}
trainer: {max_epochs: 1, precision: "32", limit_train_batches: 1}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "objects.yaml").write_text(RECIPE)
    line = ["fit", "-c", str(folder / "objects.yaml"), "--data.root", str(SAMPLES), "--run", str(folder / "run")]
    assert main(line) == 0
    return folder / "run"


def test_a_run_is_trained_and_evaluated(run: Path, resnet_tl: Callable[..., Any], here: Path) -> None:
    (row,) = [row for row in csv.DictReader((run / "metrics.csv").open()) if row["val/map"]]
    assert {"train/loss_mask", "train/loss_objectness", "val/map50", "val/mask_map", "val/mask_map50"} <= row.keys()
    done = resnet_tl("validate {} --out scores.json", run)
    assert done.code == 0, done.err
    scores = json.loads((here / "scores.json").read_text())
    assert scores["headline"] == "map"
    assert scores["metrics"]["val/map"] == pytest.approx(float(row["val/map"]), abs=1e-6)
    precisions = ("map", "map50", "map_small", "map_medium", "map_large")
    expected = {"class", "objects", *precisions, *(f"mask_{name}" for name in precisions)}
    assert expected == scores["per_class"][0].keys()


def test_predictions_are_written_as_files_and_images(run: Path, resnet_tl: Callable[..., Any], here: Path) -> None:
    images = sorted((SAMPLES / "images").glob("val_*.png"))
    done = resnet_tl("predict {} {} --out found --draw --score 0.02", run, SAMPLES / "images" / "val_*.png")
    assert done.code == 0, done.err
    assert sorted(path.stem for path in (here / "found/drawn").iterdir()) == [path.stem for path in images]
    with Image.open(here / "found/drawn/val_00.jpg") as image:
        assert image.size == (600, 480), "small images are enlarged"
    check_files(here / "found", images)
    assert resnet_tl("predict {} {} --out found", run, SAMPLES / "images").code == 2, "nothing is overwritten"


def test_objects_of_tiles_are_written_as_those_of_the_image(
    run: Path, resnet_tl: Callable[..., Any], here: Path
) -> None:
    image = SAMPLES / "images" / "val_00.png"
    assert resnet_tl("predict {} {} --out plain --score 0.02", run, image).code == 0
    assert resnet_tl("predict {} {} --out found --score 0.02 --tiles 64 --overlap 16", run, image).code == 0
    check_files(here / "found", [image])
    assert (here / "found/objects.csv").read_text() != (here / "plain/objects.csv").read_text()


def test_a_score_of_zero_draws_all_detections(run: Path, resnet_tl: Callable[..., Any], here: Path) -> None:
    image = SAMPLES / "images" / "val_00.png"
    assert resnet_tl("predict {} {} --out sure --draw", run, image).code == 0
    assert resnet_tl("predict {} {} --out all --draw --score 0", run, image).code == 0
    sure, everything = (here / out / "drawn/val_00.jpg" for out in ("sure", "all"))
    assert sure.read_bytes() != everything.read_bytes()


def check_files(found: Path, images: list[Path]) -> None:
    """The JSON is in COCO's format, with the category ids of the samples; the table agrees with it."""
    content = COCO(str(found / "objects.json"))
    annotated = COCO(str(SAMPLES / "instances_val.json"))
    assert {c["id"]: c["name"] for c in content.cats.values()} == {c["id"]: c["name"] for c in annotated.cats.values()}
    assert [image["file_name"] for image in content.imgs.values()] == [str(path) for path in images]
    assert len(content.anns) > 0
    for annotation in content.anns.values():
        assert content.annToMask(annotation).sum() == annotation["area"]
        assert annotation["score"] >= 0.02
    names = [content.cats[annotation["category_id"]]["name"] for annotation in content.anns.values()]
    assert [row["label"] for row in csv.DictReader((found / "objects.csv").open())] == names
    loaded = content.loadRes(list(content.anns.values()))
    assert len(loaded.anns) == len(content.anns)


def test_one_file_and_from_python(run: Path, resnet_tl: Callable[..., Any], here: Path) -> None:
    image = SAMPLES / "images" / "val_00.png"
    assert resnet_tl("predict {} {} --out a.json", run, image).code == 0
    assert resnet_tl("predict {} {} --out a.csv --score 0.02", run, image).code == 0
    assert len(json.loads((here / "a.json").read_text())["images"]) == 1
    (found,) = package.load(run).predict(image, score=0.02)
    rows = list(csv.DictReader((here / "a.csv").open()))
    assert [row["label"] for row in rows] == found.classes
    assert [float(row["x1"]) for row in rows] == pytest.approx(found.boxes[:, 0].tolist(), abs=0.01)
    done = resnet_tl("predict {} {} --out b.json --draw", run, image)
    assert done == (2, "", "error: --draw needs a folder to write to: --out b\n")


def test_images_of_other_classes_are_one_sentence(run: Path, resnet_tl: Callable[..., Any], here: Path) -> None:
    content = json.loads((SAMPLES / "instances_val.json").read_text())
    content["categories"][0]["name"] = "zebra"
    (here / "other").mkdir()
    (here / "other/val.json").write_text(json.dumps(content))
    (here / "other/images").symlink_to(SAMPLES / "images")
    done = resnet_tl("validate {} --data.root other", run)
    assert done.code == 2
    assert "zebra" in done.err
    assert done.err.strip().count("\n") == 0


V2_RETINANET = "{class_path: RetinaNet, init_args: {norm: group, box_loss: giou, floor_strides: true}}"
V2_MASK = "{class_path: MaskRCNN, init_args: {v2: true, floor_strides: true}}"
PUBLISHED = {
    "retinanet_resnet50_fpn": ("detect/folder_retinanet_resnet50", []),
    "fcos_resnet50_fpn": ("detect/folder_fcos_resnet50", []),
    "fasterrcnn_resnet50_fpn": ("detect/folder_faster_rcnn_resnet50", []),
    "maskrcnn_resnet50_fpn": ("instance/folder_mask_rcnn_resnet50", []),
    "retinanet_resnet50_fpn_v2": (
        "detect/folder_retinanet_resnet50",
        ["--model.neck.extra", "conv_c5", "--model.head", V2_RETINANET],
    ),
    "maskrcnn_resnet50_fpn_v2": (
        "instance/folder_mask_rcnn_resnet50",
        ["--model.neck.norm", "batch", "--model.head", V2_MASK],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_fine_tune_starts_from_torchvisions_published_detectors(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, resnet_tl: Callable[..., Any], caplog: Any
) -> None:
    """Of random weights, where torchvision's own loader would have put them. All of our classes are among COCO's."""
    recipe, more = PUBLISHED[name]
    weights = torchvision.models.get_model_weights(name)["COCO_V1"]
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(here))
    new = here / "hub" / "checkpoints" / "new"
    new.parent.mkdir(parents=True)
    theirs = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    torch.save(theirs.state_dict(), new)
    digest = hashlib.sha256(new.read_bytes()).hexdigest()[:8]  # which torchvision's names of files end with
    file = new.rename(new.with_name(f"{name}_coco-{digest}.pth"))
    monkeypatch.setattr(weights.value, "url", f"https://download.pytorch.org/models/{file.name}")
    few = "--data.image_size 64 --data.max_size 96 --data.batch_size 2 --data.num_workers 0 --trainer.max_epochs 2"
    one = "--trainer.limit_train_batches 1 --trainer.limit_val_batches 1 --trainer.precision 32 --run run"
    words = ["--model.backbone.weights", f"torchvision/{name}.COCO_V1", *more]
    caplog.set_level("INFO", "lightning.pytorch.utilities.rank_zero")
    line = " ".join(["fit -c {} --data.root {}", few, one, *["{}"] * len(words)])
    done = resnet_tl(line, recipe, SAMPLES, *words)
    assert done.code == 0, done.err
    report = caplog.text
    assert f"Weights from torchvision/{name}.COCO_V1" in report
    assert "outputs selected and ordered as the data's classes" in report
    assert "skipped" not in report
    assert "unexpected" not in report
    assert "missing" not in report or "v2" in name, "GroupNorm's convolutions have no bias there, and 0 here"
