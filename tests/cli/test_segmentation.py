"""`fit`, `validate` and `predict` of a segmentation network, on our samples."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnet_tl as package
from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples" / "segmentation"
RECIPE = """\
model:
  class_path: Segmentation
  init_args:
    backbone: {name: resnet_tiny}
    neck: {class_path: FPN, init_args: {channels: 16, smooth: false}}
    head: {class_path: SemanticFPNHead, init_args: {channels: 16, losses: [{class_path: CrossEntropy, init_args: {class_weights: auto}}, {class_path: Dice}]}}
    optimizer: {name: adamw, lr: 0.01}
data:
  class_path: MaskFolder
  init_args: {image_size: 64, batch_size: 8, num_workers: 0}
trainer: {max_epochs: 2, precision: "32"}
"""  # noqa: E501


@pytest.fixture
def masks(here: Path) -> Path:
    (here / "masks.yaml").write_text(RECIPE)
    return here


def test_a_run_is_trained_evaluated_and_predicts(resnet_tl: Callable[..., Any], masks: Path) -> None:
    done = resnet_tl("fit -c masks.yaml --data.root {} --run run", SAMPLES)
    assert done.code == 0, done.err
    rows = list(csv.DictReader((masks / "run/metrics.csv").read_text().splitlines()))
    last = float(next(row["val/miou"] for row in reversed(rows) if row["val/miou"]))
    assert 0 < last < 1
    done = resnet_tl("validate run --out scores.json")
    assert done.code == 0, done.err
    scores = json.loads((masks / "scores.json").read_text())
    assert scores["headline"] == "miou"
    assert {"val/miou", "val/pixel_acc", "val/boundary_f1"} <= scores["metrics"].keys()
    assert len(scores["confusion"]) == 7

    hidden = 3
    for path in (SAMPLES / "val" / "masks").iterdir():
        (masks / "some/val/masks").mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            values = np.asarray(image)
        Image.fromarray(np.where(values == hidden, np.uint8(255), values)).save(masks / "some/val/masks" / path.name)
    shutil.copytree(SAMPLES / "val/images", masks / "some/val/images")
    shutil.copy(SAMPLES / "classes.txt", masks / "some")
    done = resnet_tl("validate run --data.root some --out some.json")
    assert done.code == 0, done.err
    some = json.loads((masks / "some.json").read_text())
    assert f"no image shows {scores['classes'][hidden]} (1 of 7 classes); means exclude it" in done.out
    shown = [row["iou"] for index, row in enumerate(some["per_class"]) if index != hidden]
    assert some["metrics"]["val/miou"] == pytest.approx(np.mean(shown))

    done = resnet_tl("predict run {} --out found", SAMPLES / "val" / "images")
    assert done.code == 0, done.err
    names = sorted(path.stem for path in (SAMPLES / "val" / "images").iterdir())
    assert sorted(path.stem for path in (masks / "found/masks").iterdir()) == names
    assert sorted(path.stem for path in (masks / "found/overlays").iterdir()) == names
    with Image.open(masks / "found/masks" / f"{names[0]}.png") as image:
        assert image.mode == "P"
        mask = np.asarray(image)
    areas = list(csv.DictReader((masks / "found/areas.csv").read_text().splitlines()))
    assert float(areas[0]["sky"]) == pytest.approx((mask == 0).mean(), abs=1e-6)
    assert resnet_tl("predict run {} --out found", SAMPLES).code == 2, "nothing is overwritten"
    (found,) = package.load("run").predict(str(SAMPLES / "val" / "images" / f"{names[0]}.png"))
    assert (found.mask == mask).all()


def test_faults_of_the_data_stop_a_run_before_training(resnet_tl: Callable[..., Any], masks: Path) -> None:
    for folder in ("train/images", "train/masks"):
        (masks / "set" / folder).mkdir(parents=True)
    (masks / "set/classes.txt").write_text("a\nb\n")
    Image.new("RGB", (8, 8)).save(masks / "set/train/images/1.png")
    Image.new("L", (8, 8), 7).save(masks / "set/train/masks/1.png")
    done = resnet_tl("fit -c masks.yaml --data.root set --run run")
    assert done.code == 2
    assert "set/train/masks/1.png: has the value 7; expected 0 to 1 or 255 to ignore" in done.err
    assert "no training mask shows the class 'b'" in done.err
    assert not (masks / "run").exists()


def test_masks_in_colours_are_read_and_painted_by_the_class_file(resnet_tl: Callable[..., Any], masks: Path) -> None:
    (masks / "set/images").mkdir(parents=True)
    (masks / "set/masks").mkdir()
    (masks / "set/classes.csv").write_text("name,colour\ndark,#0a141e\nlight,#ffc800\n")
    colours = np.array([[10, 20, 30], [255, 200, 0]], np.uint8)
    for number in range(4):
        mask = np.kron(np.eye(2, dtype=np.uint8), np.ones((16, 16), np.uint8))
        Image.fromarray(np.repeat(mask[..., None] * 200, 3, axis=2)).save(masks / f"set/images/{number}.png")
        Image.fromarray(colours[mask]).save(masks / f"set/masks/{number}.png")
    done = resnet_tl("fit -c masks.yaml --data.root set --run run --data.val_fraction 0.5 --trainer.max_epochs 1")
    assert done.code == 0, done.err
    assert resnet_tl("predict run set/images --out found").code == 0
    with Image.open(masks / "found/masks/0.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[:6] == [10, 20, 30, 255, 200, 0]


def test_grey_images_of_many_sizes_and_a_lone_last_one(resnet_tl: Callable[..., Any], masks: Path) -> None:
    draw = np.random.default_rng(0)
    (masks / "set/images").mkdir(parents=True)
    (masks / "set/masks").mkdir()
    (masks / "set/classes.txt").write_text("dark\nlight\n")
    for number, (height, width) in enumerate([(50, 70), (70, 50), (64, 64), (33, 90), (90, 33), (48, 48), (61, 67)]):
        mask = draw.integers(0, 2, (height, width), np.uint8)
        Image.fromarray(mask * 200).save(masks / f"set/images/{number}.png")
        Image.fromarray(mask).save(masks / f"set/masks/{number}.png")
    done = resnet_tl(
        "fit -c masks.yaml --data.root set --run run --data.channels 1 --model.backbone.in_channels 1 "
        "--data.batch_size 2 --trainer.max_epochs 1 --data.val_fraction 0.4"
    )
    assert done.code == 0, done.err
    assert resnet_tl("predict run set/images --out found").code == 0
