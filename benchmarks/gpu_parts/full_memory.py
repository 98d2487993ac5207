"""Fits in a part of the GPU memory that their batch takes: one that recovers from full memory, and one that finds by
itself, with `data.batch_size: auto`, how many images go through the network at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import nn

from benchmarks.figures import Figure
from benchmarks.gpu_parts.feeding import ONE_BATCH
from benchmarks.gpu_parts.photographs import recipe, write_images
from benchmarks.gpu_parts.race import TABLE, memory
from benchmarks.gpu_parts.setting import Setting
from resnet_tl import fit
from resnet_tl.checkpoint import read

AT_A_TIME = "images at a time"
SHARE = 0.6
BATCHES = 3
WAYS: dict[str, dict[str, Any]] = {"recovered": {}, "data.batch_size: auto": {"data.batch_size": "auto"}}


def measure(setting: Setting) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "photos", BATCHES * setting.large_batch)
        _, needed = train(setting, folder, "whole", {})
        limited = {} if needed else {"trainer.callbacks": [_small(setting.large_batch // 2)]}
        for way, options in WAYS.items():
            with setting.device.memory_of(SHARE * needed) if needed else nullcontext():
                size, peak = train(setting, folder, way, {**options, **limited})
            row = f"fit in {100 * SHARE:.0f} % of its memory, {setting.large_batch} images a step: {way}"
            if size is None or size >= setting.large_batch:
                raise RuntimeError(f"{row}: memory was not full")
            yield Figure(TABLE, row, AT_A_TIME, size, "")
            yield from memory(row, peak)


def train(setting: Setting, folder: Path, name: str, options: dict[str, Any]) -> tuple[int | None, float | None]:
    """Returns how many images went through the network at a time in the end (None: whole batches), and the most MiB
    that tensors have occupied; None on a CPU."""
    data = {"image_size": setting.side, "batch_size": setting.large_batch}
    trainer = {"max_epochs": 1, "precision": "bf16-mixed"}
    setting.device.free()
    setting.device.forget_peak()
    run = folder / "runs" / name.replace(" ", "_")
    fit(recipe(setting, setting.variant, folder / "photos", data, trainer), run=run, **ONE_BATCH, **options)
    return read(run).recipe["trainer"]["micro_batch"], setting.device.peak()


def _small(images: int) -> dict[str, Any]:
    return {"class_path": "benchmarks.gpu_parts.full_memory.Small", "init_args": {"images": images}}


class Small(Callback):
    """A memory in which no more than so many images can be trained on at a time, for a CPU."""

    def __init__(self, images: int) -> None:
        self.images = images

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        pl_module.network.head.register_forward_pre_hook(self._check)

    def _check(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        maps, *_ = inputs
        if torch.is_grad_enabled() and len(next(iter(maps.values()))) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory")
