"""Writing and reading a training's checkpoint: ours, Lightning's and torch.save's, of ResNet-50 with SGD's momentum.

python -m benchmarks checkpoints [--write] [--rounds 8] [--variant resnet50]

Ours is written atomically, as plain values, with all that prediction needs, and its checksums are compared when it is
read; the others are neither. Reading ends in a network that is ready to predict. Files are in the system's folder for
temporary ones, and in its cache.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import resnet_tl
from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine
from benchmarks.made import recipe
from resnet_tl.run.build import build_data, build_task, compose
from resnet_tl.run.trainer import build_trainer

SIZE, CLASSES = 64, 2
PEERS = ("Lightning", "torch.save")
Run = Callable[[], object]


class Plain(LightningModule):
    """torchvision's network as a user's module."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = getattr(torchvision.models, variant)(num_classes=CLASSES)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9)


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = trained(folder, options.variant), trained_plain(folder, options.variant)
        writing = alternate(writers(ours, theirs, folder), options.rounds)
        reading = alternate(readers(options.variant, folder), options.rounds)
        megabytes = {who: path.stat().st_size / 1e6 for who, path in files(folder).items()}
    for what, seconds in (("writing", writing), ("reading", reading)):
        for who, values in seconds.items():
            compared = "" if who == "resnet_tl" else f"   ours is {ratios(seconds, 'resnet_tl', who)} x"
            print(f"  {what} {who:<12} {quartiles(values)} s{compared}")
    print("  MB:", ", ".join(f"{who} {size:.1f}" for who, size in megabytes.items()))
    if options.write:
        seconds_of = {"writing": writing, "reading": reading}
        measured = {"machine": machine(), "variant": options.variant, "seconds": seconds_of, "megabytes": megabytes}
        write("checkpoints", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    cells = []
    for what, seconds in results["seconds"].items():
        cells.append(_median(what, seconds))
        cells += [ratio("checkpoints", what, f"against {peer}", seconds, ("resnet_tl", peer)) for peer in PEERS]
    return cells


def _median(what: str, seconds: Seconds) -> Figure:
    low, median, high = quartiles(seconds["resnet_tl"])
    return Figure("checkpoints", what, "seconds", median, "s", low=low, high=high)


def trained(folder: Path, variant: str) -> Trainer:
    """Our trainer after a step."""
    resolved = compose([recipe(folder, variant, SIZE)])
    data = build_data(resolved)
    task = build_task(resolved, data.classes)
    once = {**resolved["trainer"], "limit_val_batches": 0, "callbacks": []}
    trainer = build_trainer(once, callbacks=[], loggers=[])
    trainer.fit(task, data)
    return trainer


def trained_plain(folder: Path, variant: str) -> Trainer:
    images, targets = torch.rand(8, 3, SIZE, SIZE), torch.arange(8) % CLASSES
    batches = DataLoader(list(zip(images, targets, strict=True)), batch_size=8)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(Plain(variant), batches)
    return trainer


def files(folder: Path) -> dict[str, Path]:
    return {who: folder / f"{who}.ckpt" for who in ("resnet_tl", *PEERS)}


def writers(ours: Trainer, theirs: Trainer, folder: Path) -> dict[str, Run]:
    places, (optimizer,) = files(folder), theirs.optimizers
    network = theirs.lightning_module.network

    def save() -> None:
        torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, places["torch.save"])

    return {
        "resnet_tl": lambda: ours.save_checkpoint(places["resnet_tl"]),
        "Lightning": lambda: theirs.save_checkpoint(places["Lightning"]),
        "torch.save": save,
    }


def readers(variant: str, folder: Path) -> dict[str, Run]:
    places = files(folder)

    def load() -> nn.Module:
        network: nn.Module = getattr(torchvision.models, variant)(num_classes=CLASSES)
        network.load_state_dict(torch.load(places["torch.save"], weights_only=True)["model"])
        return network.eval()

    return {
        "resnet_tl": lambda: resnet_tl.load(str(places["resnet_tl"])),
        "Lightning": lambda: Plain.load_from_checkpoint(places["Lightning"], weights_only=True).eval(),
        "torch.save": load,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks checkpoints")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--variant", default="resnet50")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/checkpoints.json")
    return parser
