"""A training step with frozen stages, compared with Lightning's BackboneFinetuning and plain `requires_grad=False`.

python -m benchmarks freezing_speed [--write] [--rounds 20] [--variant resnet50] [--batch 16] [--size 224] [--threads N]
                                    [--allocators default raised] [--parts steps memory cached]

steps: with (a) `BackboneFinetuning.freeze` in its default settings and (b) `requires_grad=False`, both on torchvision's
model in train mode and in either layout; and with ours, eager and compiled. All use SGD with momentum
on the trained parameters, and images in memory. "bf16": ours with `tuning.prefix_precision: bf16`, on a CPU that
multiplies bf16.
memory: the peak beyond that of a process that only imports, each in a separate process.
cached: ours within Trainer.fit, with loader, metrics.csv and progress; in between each peer takes a timed step. With
all but the head frozen, ours is the mean of as many steps as are read from the file at once, and next to it is the
least that Lightning takes: its Trainer around one linear layer, with a batch in memory and no callback of ours.

`raised`: glibc's malloc keeps freed memory, as in our command; all contestants are measured with and without.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from benchmarks.alternate import Seconds, alternate, quartiles, ratios
from benchmarks.figures import Figure, ratio, write
from benchmarks.machine import machine, multiplies_bf16
from benchmarks.resnet import in_fresh_process
from resnet_tl.data.classification import ImageFolder
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.run.build import compose
from resnet_tl.run.process import configure_process
from resnet_tl.run.trainer import build_trainer
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking
from resnet_tl.tuning import prefix
from resnet_tl.tuning.freezing import freeze
from resnet_tl.tuning.plan import Phase, Tuning

FROZEN = {"stem to layer3": ["layer4", "head"], "all but the head": ["head"]}
"""Name of the frozen part -> trained stages."""
LIGHTNING, PLAIN = "(a) BackboneFinetuning", "(b) requires_grad=False"
LAST = ", channels-last"
TARGETS = {
    ("stem to layer3", "ours", PLAIN): 0.68,
    ("stem to layer3", "ours", LIGHTNING): 0.40,
    ("stem to layer3", "ours, compiled", PLAIN): 0.60,
    ("stem to layer3", "ours, compiled", LIGHTNING): 0.36,
    ("stem to layer3", "ours, cached", PLAIN): 0.33,
    ("stem to layer3", "ours, cached", LIGHTNING): 0.20,
    ("all but the head", "ours, compiled", PLAIN): 0.47,
    ("all but the head", "ours, cached", PLAIN): 1 / 1000,
}
MEMORY_TARGET = 0.35
FLOOR = "Lightning alone"
HOW = {
    "ours": "",
    "ours, compiled": ", compiled",
    "ours, bf16": ", frozen part in bf16",
    "ours, cached": ", with `cache`",
    FLOOR: ": Lightning's Trainer around one linear layer",
}
COLUMNS = {
    PLAIN: "requires_grad",
    PLAIN + LAST: "requires_grad, channels-last",
    LIGHTNING: "BackboneFinetuning",
    LIGHTNING + LAST: "BackboneFinetuning, channels-last",
}
MANY_STEPS = [("all but the head", "ours, cached"), ("all but the head", FLOOR)]
"""So much faster that the page says how many steps take the time of one."""
BLOCK, EPOCH = {"all but the head": 16}, {"all but the head": 40}
"""Of cached steps: how many are timed together, and how many an epoch has; otherwise 1 and 8."""
CLASSES = ["0", "1"]
TRAINER = [
    ("data.root", "none"),
    ("trainer.max_epochs", "1000"),
    ("trainer.precision", "32-true"),
    ("trainer.accelerator", "cpu"),
]
"""Of a recipe, whose `trainer` section has every key that `build_trainer` reads."""
Step = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    variant: str
    batch: int
    size: int
    threads: int
    rounds: int
    allocator: str


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    shape = (options.variant, options.batch, options.size, options.threads, options.rounds)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    print(f"{options.variant}, batch {options.batch}, {options.size} px, {options.threads} threads")
    results: dict[str, Any] = {"machine": machine(), "settings": vars(options)}
    for allocator in options.allocators:
        setting = Setting(*shape, allocator)
        results[allocator] = {
            f"{part}, {frozen}": timed(part, setting, frozen)
            for frozen in FROZEN
            for part in ("steps", "cached")
            if part in options.parts
        }
        if "memory" in options.parts:
            results[allocator]["memory"] = show_memory(setting)
    if options.write:
        write("freezing_speed", results, figures(results))


def figures(results: dict[str, Any]) -> list[Figure]:
    return [
        figure
        for allocator in ("default", "raised")
        for key, measured in results.get(allocator, {}).items()
        for figure in (_memory(measured, allocator) if key == "memory" else _compared(key, measured, allocator))
    ]


def _compared(key: str, seconds: Seconds, allocator: str) -> list[Figure]:
    frozen = key.partition(", ")[2]
    pairs = [(name, peer) for name in seconds if name in HOW for peer in COLUMNS if peer in seconds]
    return [
        ratio("frozen_steps", row, COLUMNS[peer], seconds, (peer, name), goal and 1 / goal, "higher")
        if (frozen, name) in MANY_STEPS
        else ratio("frozen_step", row, COLUMNS[peer], seconds, (name, peer), goal)
        for name, peer in pairs
        for goal in [TARGETS.get((frozen, name, peer))]
        for row in [_named(frozen.replace("layer3", "`layer3`") + HOW[name], allocator)]
    ]


def _memory(grown: dict[str, float], allocator: str) -> list[Figure]:
    goals = {"stem to layer3": MEMORY_TARGET}
    rows = {frozen: _named(frozen.replace("layer3", "`layer3`"), allocator) for frozen in grown if frozen in FROZEN}
    return [
        Figure("frozen_memory", row, "of full training's", grown[frozen] / grown["all trained"], "×", goals.get(frozen))
        for frozen, row in rows.items()
    ]


def _named(row: str, allocator: str) -> str:
    return row + ("" if allocator == "raised" else ", default malloc")


def timed(part: str, setting: Setting, frozen: str) -> Seconds:
    seconds: Seconds = in_fresh_process({"steps": steps, "cached": cached}[part], setting, frozen)
    show(f"{part}, malloc {setting.allocator}", frozen, seconds)
    return seconds


def steps(setting: Setting, frozen: str) -> Seconds:
    """Seconds per step, by contestant."""
    settle(setting)
    contestants = {
        LIGHTNING: theirs(setting, frozen, LIGHTNING),
        LIGHTNING + LAST: theirs(setting, frozen, LIGHTNING, channels_last=True),
        PLAIN: theirs(setting, frozen, PLAIN),
        PLAIN + LAST: theirs(setting, frozen, PLAIN, channels_last=True),
        "ours": ours(setting, frozen),
        "ours, compiled": ours(setting, frozen, compiled=True),
    }
    if multiplies_bf16():
        contestants["ours, bf16"] = ours(setting, frozen, bf16=True)
    start = time.perf_counter()
    contestants["ours, compiled"]()
    print(f"\n{frozen} frozen: compiling took {time.perf_counter() - start:.0f} s")
    return alternate(contestants, setting.rounds)


def cached(setting: Setting, frozen: str) -> Seconds:
    """Seconds of a step of Trainer.fit, batch to batch, and of a step of each peer after it."""
    settle(setting)
    peers = {name: theirs(setting, frozen, name) for name in (PLAIN, LIGHTNING)}
    block = BLOCK.get(frozen, 1)
    probe = Between(peers, setting.rounds, block)
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder) / "photos", setting, EPOCH.get(frozen, 8))
        data = ImageFolder(
            f"{folder}/photos",
            image_size=setting.size,
            batch_size=setting.batch,
            augment="none",
            cache_dir=folder,
            seed=0,
        )
        tuning = Tuning([Phase(FROZEN[frozen])], cache="on", allow_untrained=True)
        task = Classification(data.classes, backbone=Backbone(setting.variant), tuning=tuning)
        (Path(folder) / "run").mkdir()
        run = RunFolder(Path(folder) / "run")
        trainer = build_trainer(
            compose(["classify/folder_resnet50_probe"], TRAINER)["trainer"],
            callbacks=[*callbacks(run, "val/acc"), probe],
            loggers=loggers(Tracking(), run),
        )
        trainer.fit(task, datamodule=data)
    return {**probe.seconds, FLOOR: _floor(setting, block)} if (frozen, FLOOR) in MANY_STEPS else probe.seconds


def _floor(setting: Setting, block: int) -> list[float]:
    """Seconds of a step of a linear layer on 2048 features in a bare Trainer."""
    batch = torch.randn(setting.batch, 2048), torch.randint(len(CLASSES), (setting.batch,))
    probe = Between({}, setting.rounds, block)
    quiet: Any = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    Trainer(max_epochs=1, accelerator="cpu", callbacks=[probe], **quiet).fit(
        _Linear(), itertools.repeat(batch, (setting.rounds + 4) * block)
    )
    return probe.seconds["ours, cached"]


class _Linear(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2048, len(CLASSES))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3, momentum=0.9)


class Between(Callback):
    """Times `block` batches of an epoch, from end to end, and takes their mean; after them, every peer takes a step."""

    def __init__(self, peers: dict[str, Step], rounds: int, block: int, warm_up: int = 3) -> None:
        self.peers, self.left = peers, rounds + warm_up
        self.rounds, self.block, self.batches = rounds, block, 0
        self.seconds: Seconds = {name: [] for name in ("ours, cached", *peers)}
        self._since: float | None = None

    def on_train_epoch_start(self, *_: Any) -> None:
        self._since, self.batches = None, 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.batches += self._since is not None
        if 0 < self.batches < self.block:
            return
        if self._since is not None and self.left > 0:
            spent = {"ours, cached": (time.perf_counter() - self._since) / self.block}
            for name, step in self.peers.items():
                start = time.perf_counter()
                step()
                spent[name] = time.perf_counter() - start
            self.left -= 1
            if self.left < self.rounds:
                for name, value in spent.items():
                    self.seconds[name].append(value)
        trainer.should_stop = self.left == 0
        self._since, self.batches = time.perf_counter(), 0


def show(part: str, frozen: str, seconds: Seconds) -> None:
    print(f"\n{frozen} frozen, {part}: median seconds per step (quartiles)")
    for name, values in seconds.items():
        print(f"  {name:<40} {quartiles(values)}")
    for name in seconds:
        if name in HOW:
            for peer in seconds:
                if peer not in HOW:
                    print(f"  {name}: {_verdict(frozen, name, peer, seconds)}")


def show_memory(setting: Setting) -> dict[str, float]:
    """Prints and returns the MiB that a step adds to the peak, by the frozen part."""
    names = {"all trained": "ours", "stem to layer3": "ours", "all but the head": "ours"}
    nothing = in_fresh_process(peak, setting, "")
    grown = {frozen: in_fresh_process(peak, setting, frozen) - nothing for frozen in names}
    print(f"\ngrowth of peak memory in a training step of ours, malloc {setting.allocator}, MiB beyond {nothing:.0f}")
    for frozen, value in grown.items():
        share = value / grown["all trained"]
        verdict = "" if frozen != "stem to layer3" else f", target {MEMORY_TARGET}: {_met(share <= MEMORY_TARGET)}"
        print(f"  {frozen:<40} {value:.0f}  {share:.2f} x all trained{verdict}")
    return grown


def peak(setting: Setting, frozen: str) -> float:
    """Peak memory of this process in MiB after two steps; without steps if `frozen` is ""."""
    settle(setting)
    if frozen:
        step = ours(setting, frozen)
        step()
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw_images(root: Path, setting: Setting, batches: int) -> None:
    """So many training batches and one for validation, of noise: decoding time plays no part."""
    rng = np.random.default_rng(0)
    for split, count in (("train", batches * setting.batch), ("val", setting.batch)):
        for number in range(count):
            path = root / split / CLASSES[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (256, 256, 3), np.uint8))


def ours(setting: Setting, frozen: str, compiled: bool = False, bf16: bool = False) -> Step:
    network = build(Backbone(setting.variant), None, LinearHead, CLASSES).train()
    trained = FROZEN.get(frozen, list(network.stages()))
    for stage, modules in network.stages().items():
        if stage not in trained:
            freeze(modules)
    prefix.install(network, compiled=compiled, bf16=bf16)
    images, targets = _batch(setting, channels_last=True)
    return _step(network, network.run, images, targets)


def theirs(setting: Setting, frozen: str, how: str, channels_last: bool = False) -> Step:
    import torchvision
    from lightning.pytorch.callbacks import BackboneFinetuning

    model = getattr(torchvision.models, setting.variant)(num_classes=len(CLASSES)).train()
    stages = {"stem": [model.conv1, model.bn1], **{f"layer{n}": [getattr(model, f"layer{n}")] for n in range(1, 5)}}
    parts = [module for name, modules in stages.items() if name not in FROZEN[frozen] for module in modules]
    if how == LIGHTNING:
        BackboneFinetuning.freeze(parts)
    else:
        for part in parts:
            part.requires_grad_(False)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    return _step(model, model, *_batch(setting, channels_last))


def _step(model: nn.Module, run: Callable[..., Any], images: torch.Tensor, targets: torch.Tensor) -> Step:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)

    def step() -> None:
        loss = nn.functional.cross_entropy(run(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _batch(setting: Setting, channels_last: bool) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(setting.batch, 3, setting.size, setting.size)
    images = images.contiguous(memory_format=torch.channels_last) if channels_last else images
    return images, torch.randint(len(CLASSES), (setting.batch,))


def settle(setting: Setting) -> None:
    """Configures the process as the command does, except for malloc; peers run under it too."""
    os.environ["RESNET_TL_MALLOPT"] = "1" if setting.allocator == "raised" else "0"
    configure_process()
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)


def _verdict(frozen: str, name: str, peer: str, seconds: Seconds) -> str:
    compared, target = ratios(seconds, name, peer), TARGETS.get((frozen, name, peer))
    verdict = "" if target is None else _met(compared.median <= target)
    goal = "" if target is None else f", target {target if target > 0.1 else 1 / target:g}: {verdict}"
    if (frozen, name) in MANY_STEPS:
        return f"{1 / compared.median:.0f} x the steps of {peer}{goal}"
    return f"{compared} x {peer}{goal}"


def _met(holds: bool) -> str:
    return "met" if holds else "FALLS SHORT"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks freezing_speed")
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/freezing_speed.json")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--variant", default="resnet50")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--allocators", nargs="+", default=["default", "raised"], choices=["default", "raised"])
    parts = ["steps", "cached", "memory"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    return parser
