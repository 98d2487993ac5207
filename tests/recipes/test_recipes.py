"""Every recipe that is shipped: it resolves, builds its network and its data, and its header has the required lines."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from PIL import Image

from resnet_tl.recipe.shipped import shipped, shipped_root
from resnet_tl.run.build import Recipe, build_data, build_task, compose
from resnet_tl.run.trainer import build_trainer, resolve_precision
from resnet_tl.tasks.base import Task
from resnet_tl.tuning.rates import build_optimizer, parameter_groups
from resnet_tl.tuning.resolve import resolve

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
FILES = sorted(FOLDER.rglob("*.yaml"))
SAMPLES = shipped_root() / "data" / "samples" / "classification"
MASKS = shipped_root() / "data" / "samples" / "segmentation"
OBJECTS = shipped_root() / "data" / "samples" / "detection"
NAMES = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in FILES]
UNDERNEATH = "classify/folder_resnet50_finetune"
JITTER = "overlays/large_scale_jitter"
CLASSIFICATION = [
    name for name in NAMES if name.startswith(("classify/", "overlays/", "quickstart")) and name != JITTER
]

ENDS = {
    "quickstart": [3, 30],
    "classify/folder_resnet50_finetune": [2, 15],
    "classify/folder_resnet50_multilabel": [2, 15],
    "classify/folder_resnet50_gradual": [3, 7, 10, 20],
    "classify/folder_small_machine": [2, 10],
    **{f"detect/folder_{head}_resnet50": [1, 20] for head in ("faster_rcnn", "fcos", "retinanet")},
    **{f"detect/folder_small_machine_{head}": [2, 20] for head in ("faster_rcnn", "fcos", "retinanet")},
    "instance/folder_mask_rcnn_resnet50": [1, 20],
    **{f"segment/folder_{name}": [2, 50] for name in ("deeplabv3plus_resnet34", "fpn_resnet34", "unet_resnet34")},
    "segment/folder_small_machine": [2, 20],
    "regress/csv_resnet50": [4, 30],
}
"""The epochs at which the phases of recipes with several end."""


def test_there_are_recipes_and_the_command_finds_them_all() -> None:
    assert len(NAMES) >= 13
    assert list(shipped()) == NAMES


@pytest.fixture
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Recipe:
    """Resolved, on the samples, from random weights (others would come from a hub)."""
    name: str = request.param
    configs = [UNDERNEATH, name] if name.startswith("overlays/") else [name]
    table = tmp_path / "labels.csv"
    with open(table, "w", newline="") as file:
        rows = [(path, path.parent.name) for path in sorted(SAMPLES.rglob("*.png"))]
        csv.writer(file).writerows([("path", "label"), *rows])
    source = ("data.csv", str(table)) if "multilabel" in name else ("data.root", str(SAMPLES))
    offline = [("model.backbone.weights", "null"), ("data.num_workers", "0")]
    if name.startswith("regress/"):
        table.write_text("path,a,b\n" + "".join(f"{path},{n},{n % 7}\n" for n, (path, _) in enumerate(rows)))
        return compose(configs, [("data.csv", str(table)), ("data.value_columns", "[a, b]"), *offline])
    if name.startswith("segment/"):
        ignore = [("data.ignore", "[255]")] if "camvid" in name else []  # 255 of our samples, not CamVid's 11
        return compose(configs, [("data.root", segmentation_set(name, tmp_path)), *ignore, *offline])
    if name.startswith(("detect/", "instance/")):
        small = [("data.image_size", "64"), ("data.max_size", "96"), ("data.batch_size", "2")]
        return compose(configs, [("data.root", detection_set(name, tmp_path)), *small, *offline])
    offline.append(("data.cache_dir", str(tmp_path / "cache")))
    return compose(configs, [source, *offline])


def segmentation_set(name: str, folder: Path) -> str:
    """Our samples, or two of them as Pascal VOC lays them out."""
    if "voc" not in name:
        return str(MASKS)
    for split in ("train", "val"):
        for inside, source, ending in (("JPEGImages", "images", "jpg"), ("SegmentationClass", "masks", "png")):
            (folder / inside).mkdir(exist_ok=True)
            with Image.open(next((MASKS / split / source).iterdir())) as image:
                image.resize((64, 64), Image.Resampling.NEAREST).save(folder / inside / f"{split}.{ending}")
        lists = folder / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text(split)
    Image.fromarray(np.resize(np.arange(21, dtype=np.uint8), (64, 64))).save(folder / "SegmentationClass/train.png")
    return str(folder)


def detection_set(name: str, folder: Path) -> str:
    """Our samples, or two of them as Pascal VOC lays them out."""
    if "voc" not in name and "small_machine" not in name:
        return str(OBJECTS)
    for inside in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / inside).mkdir(parents=True)
    for split in ("train", "val"):
        with Image.open(OBJECTS / "images" / f"{split}_00.png") as image:
            image.convert("RGB").save(folder / f"JPEGImages/{split}.jpg")
        size = f"<size><width>{image.width}</width><height>{image.height}</height><depth>3</depth></size>"
        box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>50</xmax><ymax>60</ymax></bndbox>"
        thing = f"<object><name>cat</name><difficult>0</difficult>{box}</object>"
        text = f"<annotation><filename>{split}.jpg</filename>{size}{thing}</annotation>"
        (folder / f"Annotations/{split}.xml").write_text(text)
        (folder / f"ImageSets/Main/{split}.txt").write_text(split)
    return str(folder)


@pytest.mark.parametrize("recipe", [name for name in NAMES if name.startswith(("detect/", "instance/"))], indirect=True)
def test_a_recipe_of_detection_builds_data_network_plan_and_trainer(
    recipe: Recipe, request: pytest.FixtureRequest
) -> None:
    seed_everything(recipe["seed_everything"], verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes).eval()
    batch = next(iter(data.train_dataloader()))
    assert len(batch.targets) > 0
    if "coco" not in request.node.name or "mask" in request.node.name:
        with torch.no_grad():
            assert (task(batch.images[:1]).masks is not None) == ("mask" in request.node.name)
    plan = resolve(task.tuning, list(task.stages()), recipe["trainer"]["max_epochs"], list(task.stages()))
    frozen = {"stem", "layer1"} if "resnet50" in request.node.name else set()
    assert set(plan.phases[-1].frozen) == frozen
    check_phases(name_of(request), task, recipe)


@pytest.mark.parametrize("recipe", [name for name in NAMES if name.startswith("segment/")], indirect=True)
def test_a_recipe_of_segmentation_builds_data_network_plan_and_trainer(
    recipe: Recipe, request: pytest.FixtureRequest
) -> None:
    seed_everything(recipe["seed_everything"], verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes).eval()
    batch = next(iter(data.train_dataloader()))
    height, width = data.image_size
    assert batch.images.shape[1:] == (3, height, width)
    assert batch.targets.shape[1:] == (height, width)
    with torch.no_grad():
        assert task(batch.images[:1, :, :64, :64]).shape == (1, len(data.classes), 64, 64)
    assert resolve(task.tuning, list(task.stages()), recipe["trainer"]["max_epochs"]).phases
    check_phases(name_of(request), task, recipe)


@pytest.mark.parametrize("recipe", [name for name in NAMES if name.startswith("regress/")], indirect=True)
def test_a_recipe_of_regression_builds_data_network_and_plan(recipe: Recipe, request: pytest.FixtureRequest) -> None:
    seed_everything(recipe["seed_everything"], verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    batch = next(iter(data.train_dataloader()))
    assert batch.targets.shape == (32, 2)
    assert task(batch.images[:2]).shape == (2, 2, 1)
    check_phases(name_of(request), task, recipe)


@pytest.mark.parametrize("recipe", CLASSIFICATION, indirect=True)
def test_a_recipe_builds_data_network_plan_and_trainer(recipe: Recipe, request: pytest.FixtureRequest) -> None:
    seed_everything(recipe["seed_everything"], verbose=False)
    data = build_data(recipe)
    task = build_task(recipe, data.classes)
    batch = next(iter(data.train_dataloader()))
    size = recipe["data"]["init_args"]["image_size"]
    assert batch.images.shape[1:] == (3, size, size)
    assert task(batch.images[:2]).shape == (2, 10)
    assert data.multi_label == task.network.head.multi_label
    plan = resolve(task.tuning, list(task.stages()), recipe["trainer"]["max_epochs"])
    assert plan.phases[-1].end == recipe["trainer"]["max_epochs"]
    check_phases(name_of(request), task, recipe)
    here = {**recipe["trainer"], "accelerator": "cpu", "devices": 1, "num_nodes": 1}
    options, precision = resolve_precision(here)
    assert str(precision).startswith("precision: ")
    build_trainer(options, callbacks=[], loggers=[])


@pytest.mark.parametrize(
    "name", ["detect/coco_faster_rcnn_resnet50", "detect/coco_retinanet_resnet50", "instance/coco_mask_rcnn_resnet50"]
)
def test_the_overlay_of_a1_weights_keeps_schedule_and_phases_of_a_detector(name: str) -> None:
    root = [("data.root", "coco")]
    plain, laid = (compose([name, *overlays], root) for overlays in ([], ["overlays/detector_a1_adamw"]))
    before, after = plain["model"]["init_args"], laid["model"]["init_args"]
    optimizer, backbone, tuning = after["optimizer"], after["backbone"], after["tuning"]
    assert (optimizer["name"], optimizer["lr"], optimizer["weight_decay"]) == ("adamw", 2e-4, 0.05)
    assert (backbone["weights"], backbone["norm"]) == ("timm/resnet50.a1_in1k", "batch")
    assert tuning == {**before["tuning"], "norm": "frozen"}
    assert {key for key in after if after[key] != before[key]} == {"backbone", "tuning", "optimizer"}
    assert {key for key in laid if laid[key] != plain[key]} == {"model"}


@pytest.mark.parametrize("name", ["detect/coco_faster_rcnn_resnet50", "instance/coco_mask_rcnn_resnet50"])
def test_the_overlay_of_large_scale_jitter_zooms_in_and_out_of_boxes_and_masks(name: str) -> None:
    here = [("data.root", str(OBJECTS)), ("data.num_workers", "0"), ("data.image_size", "64"), ("data.max_size", "64")]
    plain, laid = (compose([name, *overlays], here) for overlays in ([], [JITTER]))
    before, after = plain["model"]["init_args"], laid["model"]["init_args"]
    assert {key for key in after if after[key] != before[key]} == {"optimizer", "schedule"}
    assert after["schedule"] == {**before["schedule"], "milestones": [89, 96]}
    assert after["optimizer"]["lr"] == before["optimizer"]["lr"]
    shorts = [
        [size.min() for batch in build_data(recipe).train_dataloader() for size in batch.sizes]
        for recipe in (plain, laid)
    ]
    assert min(shorts[1]) < min(shorts[0]) / 2


def name_of(request: pytest.FixtureRequest) -> str:
    name: str = request.node.callspec.params["recipe"]
    return name


def check_phases(name: str, task: Task, recipe: Recipe) -> None:
    """The phases last as long as the recipe was measured with; a shorter run has the same phases, or the last of them,
    and its warm-up fits."""
    epochs = recipe["trainer"]["max_epochs"]
    phases = resolve(task.tuning, list(task.stages()), epochs).phases
    if not name.startswith("overlays/"):
        assert [phase.end for phase in phases] == ENDS.get(name, [epochs])
    for few in {few for few in (len(phases), 3, 2, 1) if few <= epochs}:
        short = resolve(task.tuning, list(task.stages()), few, list(task.stages())).lasting
        assert [phase.trained for phase in short] == [phase.trained for phase in phases][-few:]
        assert short[-1].end == few
        optimizer = build_optimizer(task.optimizer, parameter_groups(task.stages(), 0.0))
        schedule = task.configure_schedule(optimizer, 6 * few, 6)["scheduler"]
        rates = []
        for _ in range(6 * few):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        if not name.startswith("overlays/bit"):  # in optimizer steps
            assert max(rates) == pytest.approx(task.optimizer.lr, rel=0.05)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_header_names_command_needs_batch_and_result(path: Path) -> None:
    name = path.relative_to(FOLDER).with_suffix("").as_posix()
    header = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    commands = [line for line in header if "resnet-tl fit" in line]
    assert any(re.search(rf"-c {re.escape(name)}( |$)", command) for command in commands), commands
    for word in ("Needs: ", "Batch: ", "Measured: "):
        assert any(word in line for line in header), word


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_batch_of_the_header_is_the_recipes(path: Path) -> None:
    text = path.read_text()
    stated = re.search(r"^# Batch: (\d+) = (\d+) per device x (\d+) device", text, re.MULTILINE)
    if path.parent.name == "overlays":
        return
    assert stated is not None
    total, each, devices = map(int, stated.groups())
    assert total == each * devices
    batch = re.search(r"batch_size: (\d+)", text.partition("\ndata:")[2])
    assert batch is not None
    assert int(batch[1]) * (total // int(batch[1])) == total
