"""Mask R-CNN overfits eight of COCO's images: from our data module to the JSON that `predict` writes.

python -m benchmarks overfit --root DIR [--epochs 240] [--threads N] [--keep DIR] [--write] [--KEY VALUE ...]

--root holds COCO128 as `instances.json` and `images` (the first 128 images of train2017). The eight are the first by
file name that have an object that is not a crowd. ResNet-18-FPN from random weights, 384 pixels, norms trained, no
augmentation. Scores are those of the JSON that `resnet-tl predict` writes, against the file's annotations, by
COCO's evaluation: mask mAP50 over instances of at least 32² pixels, and over all. The minutes are those of all cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster

from benchmarks.figures import Figure, write
from benchmarks.fits import core_seconds
from benchmarks.machine import machine
from resnet_tl.cli.main import main as resnet_tl

IMAGES = 8
RECIPE = "instance/coco_mask_rcnn_resnet50"
TARGET, MINUTES = 0.9, 60
NECK = "{class_path: FPN, init_args: {channels: 128, outputs: [p2, p3, p4, p5, p6], extra: pool}}"
OVERRIDES = {
    "model.backbone": "{name: resnet18, weights: null}",
    "model.neck": NECK,
    "model.head": "{class_path: MaskRCNN, init_args: {samples: 128}}",
    "model.tuning.phases": "[{train: all}]",
    "model.optimizer": "{name: adamw, lr: 0.0005, weight_decay: 0.0}",
    "model.schedule": "{name: cosine, warmup_epochs: 5}",
    "data.image_size": "384",
    "data.max_size": "640",
    "data.augment": "none",
    "data.batch_size": "4",
    "data.num_workers": "0",
    "trainer.precision": "32",
}


def main(arguments: list[str]) -> None:
    options, more = _parser().parse_known_args(arguments)
    torch.set_num_threads(options.threads)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(options.keep or folder)
        truth = eight(Path(options.root), place)
        before = core_seconds()
        given = {**OVERRIDES, "trainer.max_epochs": str(options.epochs), "trainer.check_val_every_n_epoch": "1000"}
        line = ["fit", "-c", RECIPE, "--data.root", str(place / "set"), "--run", str(place / "run")]
        code = resnet_tl([*line, *(word for key, value in given.items() for word in (f"--{key}", value)), *more])
        assert code == 0, code
        minutes = (core_seconds() - before) / 60
        images = [str(place / "set" / "images" / image["file_name"]) for image in truth["images"]]
        last = str(place / "run" / "checkpoints" / "last.ckpt")
        assert resnet_tl(["predict", last, *images, "--out", str(place / "found"), "--draw"]) == 0
        predicted = json.loads((place / "found" / "objects.json").read_text())
    large, every = scores(truth, predicted)
    verdict = "met" if large >= TARGET and minutes <= MINUTES else "FALLS SHORT"
    print(
        f"mask mAP50 {large:.3f} over instances of 32² pixels or more (target {TARGET}), {every:.3f} over all, "
        f"after {minutes:.0f} CPU minutes (at most {MINUTES}): {verdict}"
    )
    if options.write:
        measured = {"machine": machine(), "map50": large, "map50_all": every, "cpu_minutes": minutes}
        write("overfit", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    row = "Mask R-CNN, ResNet-18"
    return [
        Figure("overfit", row, "mAP50, from 32² pixels", results["map50"], "mAP", TARGET, "higher"),
        Figure("overfit", row, "mAP50, all", results["map50_all"], "mAP", better="higher"),
        Figure("overfit", row, "CPU minutes", round(results["cpu_minutes"]), "", MINUTES),
    ]


def eight(root: Path, place: Path) -> dict[str, Any]:
    """Writes `set/{train,val}.json` and its images: the unchanged annotations of the eight, crowds included."""
    content = json.loads((root / "instances.json").read_text())
    holding = {each["image_id"] for each in content["annotations"] if not each["iscrowd"]}
    chosen = [image for image in sorted(content["images"], key=_name) if image["id"] in holding][:IMAGES]
    ids = {image["id"] for image in chosen}
    annotations = [each for each in content["annotations"] if each["image_id"] in ids]
    subset = {"images": chosen, "annotations": annotations, "categories": content["categories"]}
    (place / "set").mkdir(parents=True)
    (place / "set" / "images").symlink_to((root / "images").resolve())
    for split in ("train", "val"):
        (place / "set" / f"{split}.json").write_text(json.dumps(subset))
    return subset


def scores(truth: dict[str, Any], predicted: dict[str, Any]) -> tuple[float, float]:
    """mAP50 of masks: of instances of 32² pixels or more, and of all; images and categories by COCO's ids."""
    assert [image["id"] for image in predicted["images"]] == [image["id"] for image in truth["images"]]
    assert {each["id"]: each["name"] for each in predicted["categories"]} == {
        each["id"]: each["name"] for each in truth["categories"]
    }
    annotated = COCO(truth)
    ranges = {"large": [32**2, 1e10]}
    evaluation = COCOeval_faster(annotated, annotated.loadRes(predicted["annotations"]), "segm", ranges=ranges)
    evaluation.rle_iou_max_workers = 1  # see resnet_tl.metrics.coco
    evaluation.run()
    precision = np.where(evaluation.eval["precision"] > -1, evaluation.eval["precision"], np.nan)[0, :, :, :, -1]
    every, large = np.nanmean(precision, axis=(0, 1))
    return float(large), float(every)


def _name(image: dict[str, Any]) -> str:
    return str(image["file_name"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks overfit", allow_abbrev=False)
    parser.add_argument("--root", required=True, help="folder of instances.json and images")
    parser.add_argument("--epochs", type=int, default=240)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", help="a new folder for the run, its predictions and drawn images")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/overfit.json")
    return parser
