"""What logging costs: steps and validations with W&B (offline), with W&B, TensorBoard and MLflow, and without.

python -m benchmarks logging_cost [--write] [--rounds 8] [--steps 50] [--variant resnet18] [--size 64] [--batch 8]

One training on one core, whose epochs, of so many steps, alternate between the contestants. All that can be logged is
on. A step is timed from the end of one batch to that of the next; losses and rates are logged at every 50th. A
validation, of 100 images, lasts from an epoch's last batch to the next one's first; each is drawn as if it were better
than all before. CPU seconds are those of all threads, and of W&B's own process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from lightning import Callback

from benchmarks.alternate import Quartiles, Seconds, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from resnet_tl import fit
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.mlflow import MLflow
from resnet_tl.tracking.loggers.tensorboard import TensorBoard
from resnet_tl.tracking.loggers.wandb import Wandb

OFF = "no logger"
CONTESTANTS: dict[str, tuple[type[Any], ...]] = {
    OFF: (),
    "W&B": (Wandb,),
    "W&B, TensorBoard and MLflow": (Wandb, TensorBoard, MLflow),
}
TARGET = 1.02
WARM_UP = 5


class Mark(NamedTuple):
    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Mark:
        return cls(time.perf_counter(), time.process_time() + sum(map(_seconds_of, _children(os.getpid()))))

    def until(self, end: Mark) -> Mark:
        return Mark(end.wall - self.wall, end.cpu - self.cpu)


class Probe(Callback):
    """Gives the loggers of each contestant an epoch in turn; the first and the last do not count."""

    seconds: ClassVar[dict[str, Seconds]] = {}

    def on_fit_start(self, trainer: Any, *_: Any) -> None:
        self._loggers, self._mark, self._name = trainer.loggers, Mark(0, 0), ""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            if trainer.current_epoch > 1:
                self._add("validation", self._mark.until(Mark.now()))
            self._name = list(CONTESTANTS)[(trainer.current_epoch - 1) % len(CONTESTANTS)]
            kinds = (MetricsCsv, *CONTESTANTS[self._name])
            trainer.loggers = [logger for logger in self._loggers if isinstance(logger, kinds)]

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == WARM_UP - 1:
            self._mark = Mark.now()
        elif batch_idx == trainer.num_training_batches - 1:
            now, count = Mark.now(), trainer.num_training_batches - WARM_UP
            if 0 < trainer.current_epoch < trainer.max_epochs - 1:  # the last epoch ends the validation before it
                self._add("training step", Mark(*(seconds / count for seconds in self._mark.until(now))))
            self._mark = now

    def on_validation_start(self, trainer: Any, module: Any) -> None:
        (best,) = (each for each in trainer.callbacks if isinstance(each, Best))
        best.best_model_score = None

    def on_train_end(self, trainer: Any, module: Any) -> None:
        trainer.loggers = self._loggers

    def _add(self, what: str, mark: Mark) -> None:
        for clock, seconds in mark._asdict().items():
            self.seconds.setdefault(f"{what}, {clock}", {}).setdefault(self._name, []).append(seconds)


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    train(options.variant, options.size, options.batch, options.steps, options.rounds)
    for what, seconds in Probe.seconds.items():
        print(f"\nseconds of a {what}, median (quartiles) of {options.rounds}")
        for name, values in seconds.items():
            print(f"  {name:<30} {quartiles(values)}", "" if name == OFF else f"  {_verdict(what, seconds, name)}")
    if options.write:
        measured = {"machine": machine(), "settings": vars(options), "seconds": Probe.seconds}
        write("logging_cost", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    """CPU seconds: of a step relative to those without a logger, of a validation in addition to them."""
    steps, validations = (results["seconds"][f"{what}, cpu"] for what in ("training step", "validation"))
    names = [name for name in steps if name != OFF]
    return [ratio("logging", name, "training step", steps, (name, OFF), TARGET) for name in names] + [
        Figure("logging", name, "validation, more", median, "s", low=low, high=high)
        for name in names
        for low, median, high in [_more(validations, name)]
    ]


def _more(seconds: Seconds, name: str) -> Quartiles:
    return quartiles([ours - theirs for ours, theirs in zip(seconds[name], seconds[OFF], strict=True)])


def train(variant: str, size: int, batch: int, steps: int, rounds: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder) / "photos", size, steps * batch)
        data = {"root": f"{folder}/photos", "image_size": size, "batch_size": batch, "num_workers": 0}
        recipe = {
            "model": {"class_path": "Classification", "init_args": {"backbone": {"name": variant}}},
            "data": {"class_path": "ImageFolder", "init_args": data},
            "trainer": {
                "max_epochs": 2 + len(CONTESTANTS) * rounds, "precision": "32-true", "accelerator": "cpu",
                "callbacks": [{"class_path": "benchmarks.logging_cost.Probe"}],
            },
            "tracking": {"report": False, "wandb": True, "tensorboard": True, "mlflow": True},
        }  # fmt: skip
        fit(recipe, run=f"{folder}/run")


def draw_images(root: Path, size: int, training: int) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", training), ("val", 100)):
        for number in range(count):
            path = root / split / str(number % 2) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (size, size, 3), np.uint8))


def _verdict(what: str, seconds: Seconds, name: str) -> str:
    if not what.startswith("training step"):
        return f"{_more(seconds, name)} more"
    compared = ratios(seconds, name, OFF)
    return f"{compared} x, target {TARGET}: {'met' if compared.median <= TARGET else 'FALLS SHORT'}"


def _children(process: int) -> Iterator[int]:
    """Yields the processes below one, at any depth."""
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            yield child
            yield from _children(child)


def _seconds_of(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks logging_cost")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/logging_cost.json")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--variant", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    return parser
