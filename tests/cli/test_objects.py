"""Detection data under the command: faults, and runs that are killed and resumed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from resnet_tl.recipe.shipped import shipped_root

SAMPLES = shipped_root() / "data" / "samples" / "detection"
RECIPE = """\
model:
  class_path: Detection
  init_args:
    backbone: {name: resnet_tiny, norm: group}
    neck: {class_path: FPN, init_args: {channels: 16, outputs: [p3, p4, p5]}}
    head: {class_path: FCOS, init_args: {convs: 1, norm: group, detections: 5}}
    optimizer: {name: adamw, lr: 0.001}
data:
  class_path: CocoDetection
  init_args: {image_size: 64, batch_size: 4, num_workers: 0, scale: [0.5, 2.0], mosaic: 0.3, copy_paste: 0.3}
trainer: {max_epochs: 2, precision: "32", log_every_n_steps: 1, callbacks: [{class_path: at.At}]}
tracking: {checkpoint_every: 2}
"""
AT = """
import os, signal
from lightning.pytorch import Callback

class At(Callback):
    def on_train_batch_start(self, trainer, *_):
        if os.environ.get("AT") == str(trainer.global_step):
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def objects(here: Path) -> Path:
    """A copy of the samples in `set`, and a recipe."""
    (here / "objects.yaml").write_text(RECIPE)
    (here / "at.py").write_text(AT)
    shutil.copytree(SAMPLES, here / "set")
    return here


def test_every_planted_fault_is_named_in_one_report_and_none_in_the_clean_set(
    resnet_tl: Callable[..., Any], objects: Path
) -> None:
    short = "--trainer.callbacks [] --trainer.max_epochs 1 --trainer.limit_train_batches 1"
    line = f"fit -c objects.yaml --data.root set --run run {short}"
    file = objects / "set/instances_train.json"
    document = json.loads(file.read_text())
    images, annotations = document["images"], document["annotations"]
    runs = next(i for i, each in enumerate(annotations) if isinstance(each["segmentation"], dict))
    (objects / "set/images/train_02.png").unlink()
    Image.new("RGB", (161, 128)).save(objects / "set/images/train_05.png")
    images.append({**images[9], "file_name": "train_10.png"})
    annotations[0]["category_id"] = 77
    annotations[3]["bbox"][2] = float("nan")
    annotations[runs]["segmentation"]["size"] = [64, 80]
    annotations.append({**annotations[5]})
    annotations.append({**annotations[5], "id": 900, "image_id": 555})
    file.write_text(json.dumps(document))
    (objects / "set/instances_val.json").write_text("{")
    done = resnet_tl(line)
    assert done.code == 2
    expected = [
        "instances_train.json: image 3 is train_02.png, which does not exist",
        "instances_train.json: image 6 (train_05.png): is 161 x 128 pixels, but annotated as 160 x 128",
        "instances_train.json: two images have the id 10",
        "instances_train.json: annotation 1 has the category 77, which is not listed",
        "instances_train.json: image 2 (train_01.png): annotation 4 (cat) has the box",
        f"instances_train.json: annotation {runs + 1} has a mask of [64, 80] (h, w), but its image is [128, 160]",
        "instances_train.json: annotation 6 has the id of another annotation",
        "instances_train.json: annotation 900 has the image_id 555, which is not listed",
        "instances_val.json: is not valid JSON",
    ]
    heading, *faults = done.err.splitlines()[-len(expected) - 1 :]
    assert heading == f"error: set has {len(expected)} faults:"
    for fault in expected:
        assert sum(fault in line for line in faults) == 1, fault
    assert not (objects / "run").exists()

    shutil.rmtree(objects / "set")
    shutil.copytree(SAMPLES, objects / "set")
    done = resnet_tl(line)
    assert done.code == 0, done.err
    assert "fault" not in done.out + done.err


def test_a_set_without_boxes_and_one_of_other_classes(resnet_tl: Callable[..., Any], objects: Path) -> None:
    for split in ("train", "val"):
        file = objects / f"set/instances_{split}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    done = resnet_tl("fit -c objects.yaml --data.root set --run run")
    assert done.code == 2
    assert "set: train has no boxes at all" in done.err
    done = resnet_tl("fit -c objects.yaml --data.root {} --run run --data.classes [bird,lorry]", SAMPLES)
    assert done.code == 2
    assert "has classes ('car', 'cat', 'horse', 'truck')" in done.err


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(process: Callable[..., BaseProcess], objects: Path) -> None:
    def finished(line: str, **environment: str) -> int | None:
        started = process(line, objects, **environment)
        started.join(300)
        return started.exitcode

    line = "fit -c objects.yaml --data.root set"
    assert finished(f"{line} --run whole") == 0, (objects / "output.txt").read_text()
    assert finished(f"{line} --run killed", AT="9") == -signal.SIGKILL
    assert finished("fit --resume killed --trust-code") == 0
    weights = [
        torch.load(objects / run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "killed")
    ]
    assert [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])] == []
    assert (objects / "whole/metrics.csv").read_text() == (objects / "killed/metrics.csv").read_text()
