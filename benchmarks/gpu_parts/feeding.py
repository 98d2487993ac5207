"""Training from JPEG files against training from one batch that lies on the device, both by `resnet_tl.fit`.

A run is timed within its first epoch, once more batches have passed than workers can have prepared ahead.
Cached: the head on features that are computed once, read by the loader.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning import Callback

from benchmarks.alternate import quartiles
from benchmarks.figures import Figure
from benchmarks.gpu_parts.device import Device
from benchmarks.gpu_parts.photographs import recipe, write_images
from benchmarks.gpu_parts.race import SPEED, TABLE, TIMES, memory
from benchmarks.gpu_parts.setting import Setting
from resnet_tl import fit
from resnet_tl.data.classification import ImageFolder
from resnet_tl.structures.records import Batch

GOAL = 0.9
"""Times the steps without files."""
SYNTHETIC = "one batch on the device"
ONE_BATCH = {"data.class_path": "benchmarks.gpu_parts.feeding.OneBatch", "data.num_workers": 0}
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
    data = {
        "image_size": setting.side,
        "batch_size": setting.fed_batch,
        "num_workers": setting.workers,
        "cache_dir": str(folder / "cache"),
    }
    skipped, measured = setting.fed
    pace = {"device": setting.device.kind, "skipped": skipped, "measured": measured}
    callbacks = [{"class_path": "benchmarks.gpu_parts.feeding.Pace", "init_args": pace}]
    trainer = {"max_epochs": 2, "precision": "bf16-mixed", "callbacks": callbacks}
    setting.device.free()
    fed = recipe(setting, setting.variant, folder / "photos", data, trainer)
    fit(fed, run=folder / "runs" / name.replace(" ", "_"), **options)
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
