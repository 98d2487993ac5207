"""`resnet-tl fit`, for real, on a few small images."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl import checkpoint
from resnet_tl.run.build import compose

STOPPER = """
import os
from lightning.pytorch import Callback
from resnet_tl.models.heads.classification import LinearHead

class Stop(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2 and "STOP" in os.environ:
            raise KeyboardInterrupt

class MyHead(LinearHead):
    def __init__(self, levels, classes, scale: float = 1.0, **options):
        super().__init__(levels, classes, **options)
"""


def test_a_run_folder_holds_what_the_run_was(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    done = resnet_tl("fit -c photos.yaml --data.root {} --model.head.dropout 0.1", images)
    assert done.code == 0, done.err
    (run,) = (here / "runs" / "photos").iterdir()
    assert f"the run: {run.relative_to(here)}" in done.out
    assert "global batch: 4" in done.out
    assert {path.name for path in run.iterdir()} >= {
        "recipe.yaml", "checkpoints", "metrics.csv", "summary.json", "split.csv", "log.txt"
    }  # fmt: skip
    recipe = compose([str(run / "recipe.yaml")], [])
    assert recipe["model"]["init_args"]["head"]["init_args"]["dropout"] == 0.1
    assert recipe["data"]["init_args"]["root"] == str(images)
    assert checkpoint.read(run).recipe == recipe
    assert checkpoint.read(run).classes == ["blue", "red"]
    assert json.loads((run / "summary.json").read_text())["finished"]


def test_two_runs_of_a_recipe_are_equal_and_an_interrupted_one_resumes_bit_for_bit(
    resnet_tl: Callable[..., Any], here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "stopper.py").write_text(STOPPER)
    line = (
        "fit -c photos.yaml --data.root {} --trainer.max_epochs 4 --model.head stopper.MyHead --model.head.scale 2 "
        '--trainer.callbacks "[{{class_path: stopper.Stop}}]" --run {}'
    )
    assert resnet_tl(line, images, "whole").code == 0
    monkeypatch.setenv("STOP", "1")
    stopped = resnet_tl(line, images, "broken")
    assert (stopped.code, stopped.err.splitlines()[-1]) == (130, "stopped")
    monkeypatch.delenv("STOP")
    assert resnet_tl("fit --resume broken --trust-code").code == 0
    whole, broken = (
        torch.load(here / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "broken")
    )
    assert whole["global_step"] == broken["global_step"] == 12
    assert all(torch.equal(value, broken["state_dict"][key]) for key, value in whole["state_dict"].items())
    metrics = [(here / name / "metrics.csv").read_text() for name in ("whole", "broken")]
    assert metrics[0] == metrics[1]
    again = resnet_tl("fit --resume broken --trust-code")
    assert again.code == 2
    assert again.err.splitlines()[-1] == (
        "error: --resume broken: nothing is left to do with trainer.max_epochs 4; to train longer: a larger "
        "--trainer.max_epochs"
    )
    longer = resnet_tl("fit --resume broken --trust-code --trainer.max_epochs 5")
    assert longer.code == 0
    assert "broken resumes at step 12, in epoch 5; trainer.max_epochs is 5 instead of 4: the cosine" in longer.out
    with open("broken/metrics.csv", newline="") as file:
        *_, row = csv.DictReader(file)
    assert float(row["lr/head"]) == pytest.approx(0.02 * (1 + math.cos(math.pi * 14 / 15)) / 2, abs=1e-12)
    assert checkpoint.read(here / "broken" / "checkpoints" / "last.ckpt").epoch == 4


def test_a_mistake_found_late_leaves_no_folder(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    line = 'fit -c photos.yaml --data.root {} --model.tuning.phases "[{{train: [hed]}}]" --run new'
    done = resnet_tl(line, images)
    assert done.code == 2
    assert done.err.splitlines()[-1].endswith("did you mean 'head'?")
    assert not (here / "new").exists()


def test_a_folder_that_is_not_empty_is_refused(resnet_tl: Callable[..., Any], here: Path, images: Path) -> None:
    (here / "taken").mkdir()
    (here / "taken" / "notes.txt").write_text("mine")
    done = resnet_tl("fit -c photos.yaml --data.root {} --run taken", images)
    assert (done.code, done.err) == (
        2, "error: --run taken: the folder is not empty; nothing was written: name a new or an empty folder\n"
    )  # fmt: skip
    assert [path.name for path in (here / "taken").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fit", "fit needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows"),
        (
            "fit -c photos.yaml --data.root . --trainer.max_epochs null",
            "trainer.max_epochs is not set; expected the number of epochs",
        ),
        ("fit --resume nowhere", "--resume nowhere: no run to resume: expected nowhere/checkpoints/last.ckpt"),
        ("fit --resume run -c photos.yaml", "--resume run uses the run's own recipe, so no other can be given with it"),
        (
            "fit --resume run --model.optimizer.lr 3",
            "--model.optimizer.lr: a resumed run keeps its recipe; only trainer.max_epochs, trainer.max_steps, "
            "trainer.max_time, trainer.devices, trainer.num_nodes, trainer.micro_batch, data.root, data.replay, "
            "data.unlabelled, data.num_workers, data.cache_dir, data.cache_gb may change",
        ),
        (
            "fit --resume run --trainer.micro_batch auto",
            "--trainer.micro_batch is auto, which a run settles when it starts; expected a number to resume with",
        ),
        (
            "fit --resume old --run new",
            "--resume old trains in its own folder, so --run new cannot be given with it",
        ),
        (
            "fit -c quickstart --from run --model.backbone.weights null",
            "--from run is short for --model.backbone.weights run --model.backbone.keep_classifier known, so "
            "--model.backbone.weights contradicts it: leave one of the two out",
        ),
    ],
)
def test_wrong_ways_to_start(resnet_tl: Callable[..., Any], here: Path, line: str, message: str) -> None:
    (here / "run" / "checkpoints").mkdir(parents=True)
    (here / "run" / "checkpoints" / "last.ckpt").touch()
    assert resnet_tl(line) == (2, "", f"error: {message}\n")


def test_the_short_help_names_keys_that_exist(resnet_tl: Callable[..., Any], here: Path) -> None:
    words = resnet_tl("fit --help").out.split()
    keys = {line.split()[0] for line in resnet_tl("fit -c photos.yaml --help-all").out.splitlines()}
    named = {word for word in words if word.startswith("--") and ("." in word or word == "--seed_everything")}
    assert len(named) > 10
    assert named <= keys
