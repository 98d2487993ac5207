"""How a run uses its device: layout, formats of numbers, copies, kernels. Decided from the recipe and the device alone,
and printed in one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer

from resnet_tl.data.base import ImageData
from resnet_tl.run.precision import Precision
from resnet_tl.tasks.base import Task
from resnet_tl.tuning.fused import is_fused


@dataclass(frozen=True)
class Acceleration:
    """The keys of the `trainer` section that are not Lightning's.

    Args:
        channels_last: lay out weights and images channels-last; `auto`: on CUDA and CPUs, not on MPS.
        tf32: on CUDA, compute what stays in 32 bits in TF32, with 10 bits of mantissa.
        prefetch: on CUDA, copy the next batch to the device while the current one is trained on.
    """

    channels_last: Literal["auto"] | bool = "auto"
    tf32: bool = True
    prefetch: bool = True


class Device(NamedTuple):
    """What the choices depend on, and the line shows: `cuda`, `cpu` or `mps`, the name of a GPU, threads of a CPU."""

    kind: str
    name: str = ""
    threads: int = 1


class Settings(NamedTuple):
    """What the choices are; those that are CUDA's are False elsewhere.

    benchmark: whether cuDNN times its algorithms for each new shape: always, in training alone, or never.
    """

    channels_last: bool
    benchmark: Literal["always", "training", "never"] = "never"
    tf32: bool = False
    fused: bool = False
    pinned: bool = False
    prefetch: bool = False


def choose(
    trainer: Mapping[str, Any],
    device: str,
    *,
    varying: Collection[str] = (),
    fused: bool = False,
    pinned: Literal["auto"] | bool = "auto",
) -> Settings:
    """Resolves what the recipe leaves to `auto` or null.

    Args:
        trainer: the resolved section.
        device: `cuda`, `cpu` or `mps`.
        varying: the splits, `train` and `val`, whose batches differ in height and width.
        fused: whether the optimizer is.
        pinned: `data.pin_memory`.
    """
    channels_last = trainer["channels_last"]
    on_cuda = device == "cuda"
    return Settings(
        # The backward pass of channels-last convolutions took 30 times as long on MPS (pytorch/pytorch#193349).
        channels_last=device != "mps" if channels_last == "auto" else channels_last,
        benchmark=_benchmark(trainer["benchmark"], trainer["deterministic"], varying) if on_cuda else "never",
        tf32=on_cuda and trainer["tf32"],
        fused=fused,
        pinned=on_cuda and pinned is not False,
        prefetch=on_cuda and trainer["prefetch"],
    )


def _benchmark(chosen: bool | None, deterministic: Any, varying: Collection[str]) -> Any:
    """Timing every new shape costs more than it gains where nearly every batch has one."""
    if chosen is not None:
        return "always" if chosen else "never"
    if deterministic or "train" in varying:
        return "never"
    return "training" if varying else "always"


def device_of(kind: str) -> Device:
    """kind: `cuda`, `cpu` or `mps`."""
    return Device(kind, torch.cuda.get_device_name() if kind == "cuda" else "", torch.get_num_threads())


def settings_of(trainer: Mapping[str, Any], task: Task, data: ImageData, device: str) -> Settings:
    optimizer = task.optimizer
    fused = is_fused(optimizer.name.lower(), optimizer.options, optimizer.fused, device)
    return choose(trainer, device, varying=data.varying, fused=fused, pinned=data.pin_memory)


def settings_line(settings: Settings, device: Device, precision: Precision, ranks: str = "") -> str:
    """The one line about how a run computes. ranks: how several of them share the work."""
    threads = f"{device.threads} thread{'s' * (device.threads > 1)}"
    parts = [device.name or device.kind, *([threads] if device.kind == "cpu" else [])]
    parts += [precision.value, "channels-last" if settings.channels_last else "channels-first"]
    if device.kind == "cuda":
        timed = {"always": "cudnn.benchmark", "training": "cudnn.benchmark in training", "never": "no cudnn.benchmark"}
        parts += ["TF32" if settings.tf32 else "no TF32", timed[settings.benchmark]]
        parts += ["pinned memory" if settings.pinned else "no pinned memory"]
        parts += ["prefetch" if settings.prefetch else "no prefetch"]
    parts += ["fused optimizer"] if settings.fused else []
    parts += [ranks] if ranks else []
    reason = f"; {precision.value}: {precision.reason}" if precision.reason else ""
    return f"settings: {', '.join(parts)}{reason}"


class Accelerate(Callback):
    """Applies settings to a fit, in each of its processes; torch's process-wide switches are put back at its end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._before: tuple[bool, bool, bool] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(pl_module, Task):
            pl_module.network.lay_out(channels_last=self.settings.channels_last)
        if trainer.strategy.root_device.type == "cuda":
            matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
            self._before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
            self._switch(self.settings.tf32, self.settings.tf32, self.settings.benchmark != "never")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.settings.benchmark == "training":
            torch.backends.cudnn.benchmark = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.settings.benchmark == "training":
            torch.backends.cudnn.benchmark = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._put_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._put_back()

    def _put_back(self) -> None:
        if self._before is not None:
            self._switch(*self._before)

    def _switch(self, matmul_tf32: bool, convolution_tf32: bool, benchmark: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = convolution_tf32, benchmark
