"""Training from JPEG files against training from one batch that lies on the device, both by `resnet_tl.fit`.

The files are 500 x 375 pixels, of smooth noise with grain, about as large as photographs; few are distinct. A run is
timed within its first epoch, once more batches have passed than workers can have prepared ahead.
Cached: the head on features that are computed once, read by the loader.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback
from PIL import Image

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.device import Device
from benchmarks.gpu_parts.race import SPEED, TABLE, TIMES, memory
from benchmarks.gpu_parts.setting import Setting
from resnet_tl import fit
from resnet_tl.data.classification import ImageFolder
from resnet_tl.structures.records import Batch

GOAL = 0.9
"""Times the steps without files."""
SYNTHETIC = "one batch on the device"
ONE_BATCH = {"data.class_path": "benchmarks.gpu_parts.feeding.OneBatch", "data.num_workers": 0}
DISTINCT, CLASSES = 256, 10
WIDTH, HEIGHT, QUALITY = 500, 375, 90
PIECES = 4
"""That the measured steps are cut into, for their spread."""


def measure(setting: Setting) -> Iterator[Figure]:
    every = contestants(setting)
    goals = {name: GOAL for name in every if name.startswith("JPEG")}
    yield from paces(setting, f"fit, batch {setting.fed_batch}", every, goals)


def paces(
    setting: Setting, title: str, contestants: Mapping[str, dict[str, Any]], goals: Mapping[str, float]
) -> Iterator[Figure]:
    """Yields the speeds and peak memory of fits from made photographs; of all but the first also how many times as fast
    as the first they are.

    contestants: the values of the recipe that each changes.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "photos", setting.images)
        first = 0.0
        for name, options in contestants.items():
            pace = run(setting, Path(folder), name, options)
            row = f"{title}: {name}"
            low, median, high = quartiles(pace.rates)
            yield Figure(TABLE, row, SPEED, median, "images/s", None, "higher", low, high)
            if first:
                yield Figure(TABLE, row, TIMES, median / first, "×", goals.get(name), "higher")
            first = first or median
            yield from memory(row, pace.peak)


def contestants(setting: Setting) -> dict[str, dict[str, Any]]:
    """Returns the values of the recipe that each contestant changes; the one without files is the first."""
    device = {"data.augment_on": "device"}
    return {
        SYNTHETIC: ONE_BATCH,
        "JPEG files, decoded on the CPU": {},
        **(
            {"JPEG files, decoded and augmented on the GPU": {**device, "data.decode": "gpu"}}
            if setting.device.is_gpu
            else {"JPEG files, augmented on the device": device}
        ),
        "head only, cached": {
            "model.tuning.phases": [{"train": ["head"]}],
            "model.tuning.cache": "on",
            "model.tuning.allow_untrained": True,
            "data.augment": "none",
        },
    }


def run(setting: Setting, folder: Path, name: str, options: dict[str, Any]) -> Pace:
    recipe = {
        "model": {"class_path": "Classification", "init_args": {"backbone": {"name": setting.variant}}},
        "data": {"class_path": "ImageFolder", "init_args": {
            "root": str(folder / "photos"), "image_size": setting.side, "batch_size": setting.fed_batch,
            "num_workers": setting.workers, "cache_dir": str(folder / "cache"),
        }},
        "trainer": {
            "max_epochs": 2, "precision": "bf16-mixed", "accelerator": setting.device.kind, "devices": 1,
            "callbacks": [{"class_path": "benchmarks.gpu_parts.feeding.Pace", "init_args": {
                "device": setting.device.kind, "skipped": setting.fed[0], "measured": setting.fed[1],
            }}],
        },
        "tracking": {"report": False},
    }  # fmt: skip
    setting.device.free()
    fit(recipe, run=folder / "runs" / name.replace(" ", "_"), **options)
    return Pace.last


class Pace(Callback):
    """Times the first epoch, from the end of its step `skipped` over `measured` further ones, and stops the run.

    device: `cuda` or `cpu`.
    """

    last: Pace

    def __init__(self, device: str, skipped: int, measured: int) -> None:
        self.device = Device("cuda" if device == "cuda" else "cpu")
        self.skipped, self.piece = skipped, max(measured // PIECES, 1)
        self.rates: list[float] = []
        self.peak: float | None = None
        self._steps, self._images, self._since = 0, 0, 0.0
        Pace.last = self

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._steps += 1
        self._images += len(batch)
        past = self._steps - self.skipped
        if past < 0 or past % self.piece or len(self.rates) == PIECES:
            return
        now = self.device.now()
        if past == 0:
            self.device.forget_peak()
        else:
            self.rates.append(self._images / (now - self._since))
        self._images, self._since = 0, now
        if len(self.rates) == PIECES:
            self.peak = self.device.peak()
            trainer.should_stop = True


class OneBatch(ImageFolder):
    """A folder's first training batch, over and over: it moves to the device once."""

    def train_dataloader(self) -> Any:
        return _Repeated(super().train_dataloader(), self)


class _Repeated:
    def __init__(self, loader: Any, data: OneBatch) -> None:
        self.loader, self.data = loader, data
        self._batch: Batch | None = None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        if self._batch is None:
            device = self.data.trainer.strategy.root_device  # type: ignore[union-attr]
            self._batch = next(iter(self.loader)).to(device)
        for _ in range(len(self)):
            yield self._batch


def write_images(root: Path, count: int) -> None:
    """Writes `count` JPEGs for training, links to few distinct ones, and as few for validation."""
    rng = np.random.default_rng(0)
    distinct = min(DISTINCT, count)
    for number in range(count):
        path = root / "train" / str(number % CLASSES) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < distinct:
            _image(rng).save(path, quality=QUALITY)
        else:
            first = number % distinct
            os.link(root / "train" / str(first % CLASSES) / f"{first}.jpg", path)
    for number in range(CLASSES):
        path = root / "val" / str(number) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _image(rng).save(path, quality=QUALITY)


def _image(rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))
