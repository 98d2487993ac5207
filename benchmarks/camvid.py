"""CamVid (11 classes) in a fixed number of steps: our recipe, and segmentation_models.pytorch.

python -m benchmarks camvid --root DIR --head semantic_fpn|unet|deeplabv3plus --steps N [--seed 1 | --fold 0|1|2]
                            [--run DIR] [--write] [--row NAME] [--lite0 FILE.pth] [--KEY VALUE ...]
python -m benchmarks camvid --root DIR --peer fpn|unet --steps N [--seed 1 | --fold 0|1|2] [--write] [--row NAME]
python -m benchmarks camvid --root DIR --tiles RUN [--write] [--row NAME]

--root holds {train,val}/{images,masks} and classes.txt of the SegNet tutorial's CamVid (480 x 360 pixels). The weights
of the last step, never the best ones, are evaluated on whole validation images by data-set mIoU. The recipe's values
were chosen on this `val`: --fold N trains on two thirds of all images and evaluates the rest; the videos are cut into
pieces of 1,000 frames, each in one fold, as neighbouring frames look alike. Ours is `resnet-tl fit
-c segment/camvid_fpn_resnet18`, with another head if need be; whatever else the command takes may follow. Weights are
random, but for --lite0, the file of `solved_head`: ImageNet's EfficientNet-Lite0 in place of the ResNet-18. The peer
(`pip install segmentation-models-pytorch`): fp32, channels-last, AdamW 1e-3, cosine, 8 crops of 224 x 288 a step,
flipped half of the time. --tiles: how far masks by tiles of 256 pixels (64 shared) agree with those of whole images.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from lightning import seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.figures import Figure, over_seeds, with_run, write
from benchmarks.fits import core_seconds, timed
from benchmarks.folds import FOLDS, SEED, by_fold, seed_of, splits
from benchmarks.lite0_pyramid import Lite0Pyramid, convert
from benchmarks.machine import machine
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.models.inference import Inference, segment
from resnet_tl.prediction.load import load
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.structures.records import IGNORE, Batch, Preprocessing

RECIPE = "segment/camvid_fpn_resnet18"
HEADS: dict[str, list[str]] = {
    "semantic_fpn": [],
    "unet": [
        *("--model.neck", "null"),
        *("--model.head", "{class_path: UNetHead, init_args: {channels: [256, 128, 64], stride: 4}}"),
    ],
    "deeplabv3plus": [
        *("--model.neck", "null", "--model.backbone.output_stride", "16"),
        *("--model.head", "{class_path: DeepLabV3PlusHead, init_args: {channels: 128}}"),
    ],
}
"""Differences from the recipe."""
PEERS = {"fpn": "FPN", "unet": "Unet"}
PEER_BATCH, PEER_CROP = 8, (224, 288)
PIECES = r"(\w+)\d{3}\."
"""Of a key, `train/images/0016E5_07959.jpg`: the name of the video and thousands of frames."""
TILES = Inference(tile=256, overlap=64)
NAMES = {
    "semantic_fpn": "semantic FPN",
    "unet": "U-Net",
    "deeplabv3plus": "DeepLabV3+",
    "fpn": "FPN",
}
LITE0 = "EfficientNet-Lite0"
_LITE0 = f"{NAMES['semantic_fpn']}, {LITE0}"
GOALS = {
    ("camvid", _LITE0, "mIoU"): 60.0,
    ("camvid_classes", _LITE0, "pole"): 10.0,
    ("camvid_classes", _LITE0, "sign"): 25.0,
    ("camvid_classes", _LITE0, "pedestrian"): 30.0,
}
"""In %, by table, row and column."""
PLACES = ("root", "run", "tiles", "write", "row", "lite0")
"""Options that are local paths, which results leave out."""

Result = dict[str, Any]
"""`{miou, per_class: [{class, iou, ...}], images, seconds, core_seconds}`: of training, without evaluation."""


def main(arguments: list[str]) -> None:
    options, more = _parser().parse_known_args(arguments)
    options.seed = seed_of(options.seed, options.fold)
    print("  ".join(f"{key} {value}" for key, value in machine().items()), flush=True)
    if options.tiles is not None:
        result = tiles(options.root, options.tiles)
        print(
            f"{100 * result['agreement']:.2f} % of pixels agree; mIoU whole {100 * result['whole']:.2f}, "
            f"in tiles {100 * result['tiled']:.2f}"
        )
    else:
        result = theirs(options) if options.peer else ours(options, more)
        show(options, result)
    if options.write:
        settings = {name: value for name, value in vars(options).items() if name not in PLACES}
        row = options.row or row_of(options)
        run = {"row": row, "machine": machine(), "options": settings, "more": more, **result}
        results = with_run("camvid", run, key=lambda run: (run["row"], *_drawn(run), "miou" in run))
        write("camvid", results, figures(results))


def _drawn(run: dict[str, Any]) -> tuple[int | None, int | None]:
    """Seed and fold."""
    options = run.get("options", {})
    return options.get("seed"), options.get("fold")


def row_of(options: argparse.Namespace) -> str:
    if options.peer:
        return f"segmentation_models.pytorch: {NAMES[options.peer]}"
    if options.lite0:
        return f"{NAMES[options.head]}, {LITE0}"
    return NAMES[options.head] if options.head else Path(options.tiles).name


def figures(results: dict[str, Any]) -> list[Figure]:
    """Of each row over its seeds, or by fold: scores, costs and IoU by class; agreement of tiles."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in results["runs"]:
        if "miou" in run:
            _, fold = _drawn(run)
            rows.setdefault(("camvid" if fold is None else "camvid_folds", run["row"]), []).append(run)
    tiled = {run["row"]: run["agreement"] for run in results["runs"] if "agreement" in run}
    return [
        *(figure for (table, row), runs in rows.items() for figure in _cells(table, row, runs)),
        *(figure for (table, row), runs in rows.items() for figure in _classes(table, row, runs)),
        *(Figure("camvid_tiles", row, "same class", 100 * share, "%", better="higher") for row, share in tiled.items()),
    ]


def _cells(table: str, row: str, runs: list[dict[str, Any]]) -> list[Figure]:
    minutes = statistics.median(run["core_seconds"] / 60 for run in runs)
    images, values = round(statistics.median(run["images"] for run in runs)), [100 * run["miou"] for run in runs]
    costs = [Figure(table, row, "images", images, ""), Figure(table, row, "core minutes", round(minutes), "")]
    if table == "camvid_folds":
        folds = [run["options"]["fold"] for run in runs]
        return costs + by_fold(table, row, "mIoU", dict(zip(folds, values, strict=True)), "%")
    return [*costs, over_seeds(table, row, "mIoU", values, "%", GOALS.get((table, row, "mIoU")))]


def _classes(table: str, row: str, runs: list[dict[str, Any]]) -> Iterator[Figure]:
    if table == "camvid":
        yield from _by_class("camvid_classes", row, runs)
        return
    for run in runs:
        yield from _by_class("camvid_folds_classes", f"{row}, fold {run['options']['fold']}", [run])


def _by_class(table: str, row: str, runs: list[Result]) -> Iterator[Figure]:
    for number, each in enumerate(runs[0]["per_class"]):
        name = each["class"].partition("_")[0]
        values = [100 * run["per_class"][number]["iou"] for run in runs]
        yield over_seeds(table, row, name, values, "%", GOALS.get((table, row, name)))


def ours(options: argparse.Namespace, more: list[str]) -> Result:
    """Trains and evaluates with the command, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        run, scores = Path(options.run or f"{folder}/run"), Path(folder) / "scores.json"
        values = ["--data.root", options.root, "--seed_everything", str(options.seed)]
        values += ["--trainer.max_steps", str(options.steps), "--trainer.max_epochs", str(options.steps)]
        values += ["--trainer.limit_val_batches", "0", *HEADS[options.head], *more]
        values += [word for key, value in _splits(options.fold).items() for word in (f"--data.{key}", str(value))]
        if options.lite0:
            weights = Path(folder) / "lite0.safetensors"
            convert(options.lite0, weights)
            values += ["--model.backbone.name", f"{Lite0Pyramid.__module__}.Lite0Pyramid"]
            values += ["--model.backbone.weights", str(weights)]
        _, cores = timed(["fit", "-c", RECIPE, "--run", str(run), *values])
        timed(["validate", str(run / "checkpoints" / "last.ckpt"), "--out", str(scores), "--trust-code"])
        recipe = yaml.safe_load((run / "recipe.yaml").read_text())
        summary, scored = json.loads((run / "summary.json").read_text()), json.loads(scores.read_text())
        images = (run / "split.csv").read_text().count(",train\n")
    return {
        "miou": scored["metrics"]["val/miou"],
        "per_class": scored["per_class"],
        "images": images_seen(options.steps, recipe["data"]["init_args"]["batch_size"], images),
        "seconds": summary["seconds"],
        "core_seconds": cores,
    }


def _splits(fold: int | None) -> dict[str, Any]:
    return {} if fold is None else {**splits(fold), "group": PIECES}


def theirs(options: argparse.Namespace) -> Result:
    """Trains in a plain loop, and evaluates with our metric."""
    import segmentation_models_pytorch as smp

    seed_everything(options.seed, verbose=False)
    data = MaskFolder(
        options.root,
        ignore=(11,),
        image_size=PEER_CROP,
        scale=(1.0, 1.0),
        balanced=0.0,
        batch_size=PEER_BATCH,
        **_splits(options.fold),
    )
    network: nn.Module = getattr(smp, PEERS[options.peer])("resnet18", encoder_weights=None, classes=len(data.classes))
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    loader = data.train_dataloader()
    start, before = time.perf_counter(), core_seconds()
    for batch in _batches(loader, options.steps):
        optimizer.zero_grad()
        F.cross_entropy(network(_normalised(batch.images)), batch.targets.long(), ignore_index=IGNORE).backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    del loader, batch  # with its workers, whose CPU time counts once they have exited
    cores = core_seconds() - before
    metrics = SegmentationMetrics(data.classes)
    network.eval()
    for batch in data.val_dataloader():
        predicted = _whole(network, _normalised(batch.images)).argmax(1)
        metrics.update(predicted, batch.targets, batch.indices >= 0)
    return {
        "miou": metrics.compute()["miou"],
        "per_class": metrics.tables()["per_class"],
        "images": images_seen(options.steps, PEER_BATCH, len(data.listings["train"])),
        "seconds": seconds,
        "core_seconds": cores,
    }


def tiles(root: str, run: str) -> Result:
    """agreement: share of the pixels of all validation images; whole, tiled: mIoU of either (0...1)."""
    data = MaskFolder(root, ignore=(11,), num_workers=0, batch_size=1)
    predictor = load(Path(run) / "checkpoints" / "last.ckpt")
    assert isinstance(predictor, MaskPredictor)
    metrics = {name: SegmentationMetrics(data.classes) for name in ("whole", "tiled")}
    equal = pixels = 0
    with torch.inference_mode():
        for batch in data.val_dataloader():
            masks = {
                "whole": segment(predictor.network, batch.images, None, Inference()).argmax(1),
                "tiled": segment(predictor.network, batch.images, None, TILES).argmax(1),
            }
            equal += int((masks["whole"] == masks["tiled"]).sum())
            pixels += batch.targets.numel()
            for name, mask in masks.items():
                metrics[name].update(mask, batch.targets, batch.indices >= 0)
    return {"agreement": equal / pixels, **{name: each.compute()["miou"] for name, each in metrics.items()}}


def images_seen(steps: int, batch: int, images: int) -> int:
    """The number of steps per epoch; the last batch is smaller."""
    epochs, rest = divmod(steps, math.ceil(images / batch))
    return epochs * images + min(rest * batch, images)


def show(options: argparse.Namespace, result: Result) -> None:
    who = f"segmentation_models.pytorch {options.peer}" if options.peer else options.head
    minutes, cores = result["seconds"] / 60, result["core_seconds"] / 60
    print(f"\n{who}: {options.steps} steps, {result['images']} images, seed {options.seed}")
    print(f"{minutes:.1f} minutes of training, {cores:.1f} core minutes")
    for row in result["per_class"]:
        print(f"  {row['class']:<14} {100 * row['iou']:5.1f}")
    print(f"  {'mIoU':<14} {100 * result['miou']:5.1f}", flush=True)


def _batches(loader: DataLoader[Batch], steps: int) -> Iterator[Batch]:
    epochs = itertools.count()
    every = (batch for epoch in epochs for batch in _epoch(loader, epoch))
    return itertools.islice(every, steps)


def _epoch(loader: DataLoader[Batch], epoch: int) -> DataLoader[Batch]:
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return loader


def _normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (Preprocessing().mean, Preprocessing().std))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def _whole(network: nn.Module, images: Tensor) -> Tensor:
    """Logits of images padded to a multiple of 32, which the peer's decoders need, cropped again."""
    height, width = images.shape[-2:]
    return network(F.pad(images, (0, -width % 32, 0, -height % 32)))[..., :height, :width]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks camvid")
    parser.add_argument("--root", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--head", choices=HEADS)
    what.add_argument("--peer", choices=PEERS)
    what.add_argument("--tiles", metavar="RUN")
    parser.add_argument("--lite0", type=Path, metavar="FILE", help="ImageNet's weights of EfficientNet-Lite0")
    parser.add_argument("--steps", type=int, default=800, help="optimizer steps")
    parser.add_argument("--seed", type=int, default=SEED, help="on the given splits; a fold has its own")
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="in place of the given splits")
    parser.add_argument("--run", help="keep the run in this folder")
    parser.add_argument("--write", action="store_true", help="adds the run to benchmarks/results/camvid.json")
    parser.add_argument("--row", help="the row of the page, of which this is one seed; by default, the network's name")
    return parser
