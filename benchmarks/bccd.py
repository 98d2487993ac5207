"""Detectors from random weights on blood cells in minutes, with our recipes for small machines and with torchvision.

python -m benchmarks bccd --root DIR --head fcos [--minutes 12 | --steps N] [--who ours torchvision]
                          [--seed 1 | --fold 0|1|2]
                          [--precision 32-true] [--checkpoint FILE.ckpt] [--write] [--row NAME] [--KEY VALUE ...]

--root holds BCCD_Dataset's JPEGImages, Annotations and ImageSets (github.com/Shenggan/BCCD_Dataset, folder BCCD).
ResNet-18-FPN, short side 320; trained on `train`, evaluated on `val` after the last step, never the best. The recipes'
values were chosen on this `val`: --fold N trains on two thirds of all images, evaluates on the remaining third, and
starts from random weights of its own. Minutes are converted into steps by timing a few that are discarded, and the
schedule spans those steps; the seconds printed are those of the training itself. Further options
(--model.optimizer.lr 0.002) override the recipe.
torchvision's: fp32, channels-last, all of the network trained, AdamW 1e-3 with weight decay 1e-4, 30 steps of warm-up,
cosine, mirrored images, batches of 4.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn

from benchmarks.figures import Figure, over_seeds, with_run, write
from benchmarks.folds import FOLDS, SEED, by_fold, seed_of, splits
from benchmarks.machine import machine
from resnet_tl.cli.command import split
from resnet_tl.data.detection import VOCDetection
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.run.build import Recipe, build_data, build_task, compose
from resnet_tl.run.trainer import build_trainer, resolve_precision
from resnet_tl.structures.boxes import rescale
from resnet_tl.structures.records import Batch, Detections
from resnet_tl.tasks.base import Task

FROM_SCRATCH = [("model.backbone.weights", "null"), ("model.tuning.phases", "[{train: all}]")]
THROWN_AWAY, TIMED = 3, 12
"""Warm-up steps, and the steps after them that are timed."""

PEERS_BATCH, PEERS_LR, PEERS_DECAY, PEERS_WARMUP = 4, 1e-3, 1e-4, 30
"""Better on `val` than batches of 8 without warm-up and with torch's own weight decay of 1e-2."""

GOALS = {("bccd", "FCOS, bf16", "mAP"): 0.58, ("bccd", "FCOS, bf16", "mAP50"): 0.875}
"""By table, row and column; in the core minutes of the row in fp32."""


@dataclass(frozen=True)
class Outcome:
    """seconds: of the steps alone. map, map50: COCO's, of the last step's weights on the validation images."""

    who: str
    head: str
    precision: str
    steps: int
    images: int
    seconds: float
    map: float
    map50: float

    def __str__(self) -> str:
        return (
            f"{self.who:<12} {self.head:<12} {self.precision:<10} mAP {self.map:.3f}  mAP50 {self.map50:.3f}  "
            f"{self.images} images in {self.steps} steps, {self.seconds:.0f} s"
        )


def main(arguments: list[str]) -> None:
    options, more = _parser().parse_known_args(arguments)
    options.seed = seed_of(options.seed, options.fold)
    torch.set_num_threads(options.threads)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    for who in options.who:
        outcome = ours(options, more) if who == "ours" else torchvisions(options)
        print(outcome, flush=True)
        if options.write:
            fold = {"seed": options.seed, "fold": options.fold}
            facts = {"row": options.row or row_of(outcome), "machine": machine(), **fold}
            run = {**facts, **asdict(outcome), "values": " ".join(more) or "the recipe"}
            results = with_run("bccd", run, key=lambda run: (run["row"], run.get("seed"), run.get("fold")))
            write("bccd", results, figures(results))


def row_of(outcome: Outcome) -> str:
    name = {"fcos": "FCOS", "retinanet": "RetinaNet", "faster_rcnn": "Faster R-CNN"}[outcome.head]
    precision = ", bf16" if outcome.precision.startswith("bf16") else ""
    return name + precision if outcome.who == "ours" else f"torchvision's {name}"


def figures(results: dict[str, Any]) -> list[Figure]:
    """Of each row over its runs; a run without one (`"row": null`) is not on the page."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in results["runs"]:
        if run["row"] is not None:
            table = "bccd" if run.get("fold") is None else "bccd_folds"
            rows.setdefault((table, run["row"]), []).append(run)
    return [figure for (table, row), runs in rows.items() for figure in _cells(table, row, runs)]


def _cells(table: str, row: str, runs: list[dict[str, Any]]) -> list[Figure]:
    cells = []
    if "images" in runs[0]:
        cells.append(Figure(table, row, "images", runs[0]["images"], ""))
    if "seconds" in runs[0]:
        minutes = statistics.median(run["seconds"] * run["machine"]["threads"] / 60 for run in runs)
        cells.append(Figure(table, row, "core minutes", round(minutes), ""))
    scores = {"mAP": "map", "mAP50": "map50"}
    if table == "bccd_folds":
        for name, key in scores.items():
            cells += by_fold(table, row, name, {run["fold"]: run[key] for run in runs}, "mAP")
        return cells
    return cells + [
        over_seeds(table, row, name, [run[key] for run in runs], "mAP", GOALS.get((table, row, name)))
        for name, key in scores.items()
    ]


class Clock(Callback):
    """Times at which the steps ended, counted from the start of the first."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.times.append(time.perf_counter())


class Fitted(NamedTuple):
    task: Task
    data: VOCDetection
    trainer: Trainer
    clock: Clock


def ours(options: argparse.Namespace, more: list[str]) -> Outcome:
    overrides = split(more).overrides
    base = [("data.root", options.root), ("trainer.precision", options.precision), *FROM_SCRATCH, *overrides]
    base += [(f"data.{name}", str(value)) for name, value in splits(options.fold).items()]
    recipe, seed = f"detect/folder_small_machine_{options.head}", options.seed
    if options.steps is None:
        tried = fit(compose([recipe], [*base, ("model.schedule.warmup_epochs", "0")]), THROWN_AWAY + TIMED, seed)
    steps = options.steps or steps_in(options.minutes, tried.clock.times)
    task, data, trainer, clock = fit(compose([recipe], base), steps, seed)
    if options.checkpoint:
        trainer.save_checkpoint(options.checkpoint)
    trainer.limit_val_batches = 1.0
    (scores,) = trainer.validate(task, data, verbose=False)
    facts = "ours", options.head, str(trainer.precision), steps, steps * data.batch_size
    return Outcome(*facts, clock.times[-1] - clock.times[0], scores["val/map"], scores["val/map50"])


def fit(recipe: Recipe, steps: int, seed: int) -> Fitted:
    """Trains the recipe for `steps` steps without validation; the schedule ends with them."""
    seed_everything(seed, verbose=False)
    data: Any = build_data(recipe)
    task, clock = build_task(recipe, data.classes), Clock()
    an_epoch = math.ceil(len(data.listings["train"]) / data.batch_size)
    ends = {"max_steps": steps, "max_epochs": math.ceil(steps / an_epoch), "limit_val_batches": 0}
    settled, _ = resolve_precision({**recipe["trainer"], **ends})
    trainer = build_trainer(settled, callbacks=[], loggers=[])
    trainer.callbacks.append(clock)
    trainer.fit(task, data)
    return Fitted(task, data, trainer, clock)


def steps_in(minutes: float, times: list[float]) -> int:
    return int(60 * minutes * TIMED / (times[-1] - times[-1 - TIMED]))


def torchvisions(options: argparse.Namespace) -> Outcome:
    seed_everything(options.seed, verbose=False)
    data = VOCDetection(
        options.root,
        image_size=320,
        max_size=544,
        augment="none",
        batch_size=PEERS_BATCH,
        num_workers=2,
        **{"seed": SEED, **splits(options.fold)},
    )
    steps = options.steps or steps_in(options.minutes, train(peer(options.head), data, THROWN_AWAY + TIMED))
    model = peer(options.head)
    times = train(model, data, steps)
    metrics = evaluate(model.eval(), data)
    facts = "torchvision", options.head, "32-true", steps, steps * PEERS_BATCH
    return Outcome(*facts, times[-1] - times[0], metrics["map"], metrics["map50"])


def peer(head: str) -> nn.Module:
    """torchvision's detector on its ResNet-18-FPN, fully trained; 3 classes and a background. RetinaNet has the head of
    `retinanet_resnet50_fpn_v2`, with group norm as ours: from random weights the first version's came to 0.005 mAP
    in 430 steps."""
    from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.retinanet import RetinaNetHead, _default_anchorgen
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    more: dict[str, Any] = {}
    if head != "faster_rcnn":
        more = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    plain = {"weights": None, "norm_layer": nn.BatchNorm2d, "trainable_layers": 5}
    backbone = resnet_fpn_backbone(backbone_name="resnet18", **plain, **more)
    kind = {"fcos": FCOS, "retinanet": RetinaNet, "faster_rcnn": FasterRCNN}[head]
    parts: dict[str, Any] = {}
    if head == "retinanet":
        anchors, norm = _default_anchorgen(), functools.partial(nn.GroupNorm, 32)
        dense = RetinaNetHead(backbone.out_channels, anchors.num_anchors_per_location()[0], 4, norm_layer=norm)
        dense.regression_head._loss_type = "giou"
        parts = {"anchor_generator": anchors, "head": dense}
    model: nn.Module = kind(backbone, num_classes=4, min_size=320, max_size=544, **parts)
    return model.to(memory_format=torch.channels_last)


def train(model: nn.Module, data: VOCDetection, steps: int) -> list[float]:
    """Times at which the steps ended, counted from the start of the first."""
    optimizer = torch.optim.AdamW(model.train().parameters(), PEERS_LR, weight_decay=PEERS_DECAY)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / PEERS_WARMUP, total_iters=PEERS_WARMUP)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps - PEERS_WARMUP, 1))
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [PEERS_WARMUP])
    times = [time.perf_counter()]
    for images, targets in _as_torchvision_wants(data, steps):
        loss = torch.stack(list(model(images, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        times.append(time.perf_counter())
    return times


def _as_torchvision_wants(data: VOCDetection, steps: int) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
    loader, epoch, done = data.train_dataloader(), 0, 0
    while done < steps:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            objects = batch.targets.objects().split(len(batch))
            targets = [{"boxes": each.boxes, "labels": each.labels + 1} for each in objects]
            yield mirrored(images(batch), targets)
            done += 1
            if done == steps:
                return
        epoch += 1


def mirrored(images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Flips a random half of the images."""
    for number, target in enumerate(targets):
        if torch.rand(()) < 0.5:
            width, (x1, y1, x2, y2) = images[number].shape[2], target["boxes"].T
            images[number], target["boxes"] = images[number].flip(2), torch.stack([width - x2, y1, width - x1, y2], 1)
    return images, targets


def images(batch: Batch) -> list[Tensor]:
    """The images without padding, in 0...1."""
    return [image[:, :h, :w] / 255 for image, (h, w) in zip(batch.images, batch.sizes.tolist(), strict=True)]


@torch.inference_mode()
def evaluate(model: nn.Module, data: VOCDetection) -> dict[str, float]:
    metrics = DetectionMetrics(data.classes)
    for batch in data.val_dataloader():
        predicted = model(images(batch))
        sides = {
            name: nn.utils.rnn.pad_sequence([each[name] for each in predicted], batch_first=True)
            for name in predicted[0]
        }
        boxes = rescale(sides["boxes"], batch.sizes, batch.original_sizes)
        true, of = batch.targets, batch.targets.image
        true.boxes = rescale(true.boxes[:, None], batch.sizes[of], batch.original_sizes[of])[:, 0]
        detections = Detections(boxes, sides["scores"], sides["labels"] - 1)
        metrics.update(detections, true, batch.indices, batch.original_sizes)
    return metrics.compute()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks bccd", allow_abbrev=False)
    parser.add_argument("--root", required=True, help="folder of JPEGImages, Annotations and ImageSets")
    parser.add_argument("--head", default="fcos", choices=["fcos", "retinanet", "faster_rcnn"])
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--steps", type=int, help="instead of minutes")
    parser.add_argument("--who", nargs="+", default=["ours"], choices=["ours", "torchvision"])
    parser.add_argument("--seed", type=int, default=SEED, help="on the given splits; a fold has its own")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="in place of the given splits")
    parser.add_argument("--precision", default="32-true", help="of our network, one of Lightning's")
    parser.add_argument("--checkpoint", help="where to save our network, for `resnet-tl predict`")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="adds the runs to benchmarks/results/bccd.json")
    parser.add_argument("--row", help="the row of the page, of which this is one run; by default, the detector's name")
    return parser
