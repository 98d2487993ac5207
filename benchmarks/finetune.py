"""Seconds of a whole fine-tune, from the start of a command to its end, by our command and by others' own programs.

python -m benchmarks finetune [--peers DIR] [--rounds 3] [--epochs 3] [--write]

ResNet-18 from random weights at 224 pixels on made photographs of five classes, of 500 x 375 pixels: random crops,
mirrored half of the time; SGD with momentum, cosine; batches of 32, fp32, two loader workers; after each epoch a
validation and a checkpoint. No other augmentation, no averaged weights, no plots and no reports: each program by its
own switches. timm's and torchvision's scripts are not in their packages: --peers, or the variable BENCHMARK_PEERS,
names a folder with clones of their repositories, `pytorch-image-models` and `vision`. Lightning's BackboneFinetuning is
in `benchmarks/finetune_lightning.py`: one epoch of the head, then of all. Ultralytics' classifier takes torchvision's
ResNet-18 by a model file. What is not installed or not there is skipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks.alternate import Seconds, alternate, quartiles
from benchmarks.figures import Figure, ratio, write
from benchmarks.fits import core_seconds
from benchmarks.machine import machine
from benchmarks.made import photographs

CLASSES = 5  # the references report the five best
TRAINED, VALIDATED, BATCH, SIZE, WORKERS, LR = 256, 128, 32, 224, 2, 0.01
ALL, PHASES = "all stages", "head, then all stages"
PEERS = {
    "timm's train.py": ALL,
    "torchvision's references": ALL,
    "Ultralytics": ALL,
    "Lightning's BackboneFinetuning": PHASES,
}
SCRIPTS = ("pytorch-image-models/train.py", "vision/references/classification/train.py")
ULTRALYTICS = {
    "nc": CLASSES,
    "backbone": [[-1, 1, "TorchVision", [512, "resnet18", None, True, 2]]],
    "head": [[-1, 1, "Classify", ["nc"]]],
}
WITHOUT_MLFLOW = "from ultralytics import cfg, settings; settings.update(mlflow=False); cfg.entrypoint()"
OFF = {"YOLO_OFFLINE": "true", "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    cores: Seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        for split, count in (("train", TRAINED), ("val", VALIDATED)):
            photographs(photos / split, count, CLASSES)
        commands = {**ours(folder, photos, options.epochs), **peers(folder, photos, options)}
        contestants = {who: runner(who, command, folder, cores) for who, command in commands.items()}
        seconds = alternate(contestants, options.rounds, warm_up=0)  # each is a process of its own
    for who, values in seconds.items():
        print(f"  {who:<34} {quartiles(values)} s, {quartiles(cores[who])} core s")
    if options.write:
        settings = {"epochs": options.epochs, "rounds": options.rounds}
        measured = {"machine": machine(), "settings": settings, "seconds": seconds, "core_seconds": cores}
        write("finetune", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """Of each program its seconds, and ours of the same phases divided by them."""
    seconds, cores = results["seconds"], results["core_seconds"]
    found = []
    for who, values in seconds.items():
        low, median, high = quartiles(values)
        found.append(Figure("finetune", who, "seconds", median, "s", low=low, high=high))
        found.append(Figure("finetune", who, "core seconds", quartiles(cores[who]).median, "s"))
        if who in PEERS:
            found.append(ratio("finetune", who, "ours of the same phases", seconds, (_ours(PEERS[who]), who)))
    return found


def ours(folder: Path, photos: Path, epochs: int) -> dict[str, list[str]]:
    plans = {ALL: [{"train": "all"}], PHASES: [{"epochs": 1, "train": ["head"]}, {"train": "all"}]}
    commands = {}
    for number, (phases, plan) in enumerate(plans.items()):
        model = {
            "backbone": {"name": "resnet18"},
            "head": {"class_path": "LinearHead"},
            "tuning": {"phases": plan, "allow_untrained": True},
            "optimizer": {"name": "sgd", "lr": LR, "options": {"momentum": 0.9}},
            "schedule": {"name": "cosine"},
        }
        data = {"root": str(photos), "image_size": SIZE, "batch_size": BATCH, "num_workers": WORKERS}
        recipe = {
            "model": {"class_path": "Classification", "init_args": model},
            "data": {"class_path": "ImageFolder", "init_args": {**data, "augment": "light"}},
            "trainer": {"max_epochs": epochs, "precision": "32-true", "accelerator": "cpu"},
            "tracking": {"report": False},
        }
        path = folder / f"recipe{number}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        commands[_ours(phases)] = ["-m", "resnet_tl.cli.main", "fit", "-c", str(path), "--run", "{out}/run"]
    return commands


def peers(folder: Path, photos: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """Returns the commands of those that are at hand."""
    epochs, found = str(options.epochs), {}
    timms, torchvisions = (Path(options.peers) / script for script in SCRIPTS)
    if timms.exists():
        words = [str(timms), str(photos), "--train-split", "train", "--val-split", "val", "--model", "resnet18"]
        words += ["--num-classes", str(CLASSES), "--epochs", epochs, "--warmup-epochs", "0", "--cooldown-epochs", "0"]
        words += ["-b", str(BATCH), "-j", str(WORKERS), "--lr", str(LR), "--opt", "sgd", "--momentum", "0.9"]
        words += ["--device", "cpu", "--no-prefetcher", "--color-jitter", "0", "--checkpoint-hist", "1"]
        found["timm's train.py"] = [*words, "--output", "{out}"]
    if torchvisions.exists():
        words = [str(torchvisions), "--data-path", str(photos), "--model", "resnet18", "--epochs", epochs]
        words += ["-b", str(BATCH), "-j", str(WORKERS), "--lr", str(LR), "--lr-scheduler", "cosineannealinglr"]
        found["torchvision's references"] = [*words, "--device", "cpu", "--output-dir", "{out}"]
    if find_spec("ultralytics"):
        path = folder / "resnet18-cls.yaml"
        path.write_text(yaml.safe_dump(ULTRALYTICS))
        values = {"model": path, "data": photos, "epochs": epochs, "imgsz": SIZE, "batch": BATCH, "workers": WORKERS}
        values |= {"device": "cpu", "amp": False, "plots": False, "optimizer": "SGD", "lr0": LR, "cos_lr": True}
        values |= {"auto_augment": None, "erasing": 0, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0, "warmup_epochs": 0}
        words = ["classify", "train", *(f"{key}={value}" for key, value in values.items()), "project={out}"]
        found["Ultralytics"] = ["-c", WITHOUT_MLFLOW, *words]
    lightning = ["-m", "benchmarks.finetune_lightning", str(photos), "{out}", epochs, str(LR)]
    return {**found, "Lightning's BackboneFinetuning": lightning}


def runner(who: str, command: Sequence[str], folder: Path, cores: Seconds) -> Callable[[], object]:
    """Returns what runs the command in a folder of its own for its output, and notes the seconds of all cores."""

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            words = [sys.executable, *(word.replace("{out}", out) for word in command)]
            before = core_seconds()
            done = subprocess.run(
                words, capture_output=True, text=True, env={**os.environ, **OFF, "YOLO_CONFIG_DIR": out}
            )
            cores.setdefault(who, []).append(core_seconds() - before)
            if done.returncode:
                sys.exit(f"{who} ended with {done.returncode}:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")

    return run


def _ours(phases: str) -> str:
    return f"ours, {phases}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks finetune")
    parser.add_argument("--peers", default=os.environ.get("BENCHMARK_PEERS", "peers"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/finetune.json")
    return parser
