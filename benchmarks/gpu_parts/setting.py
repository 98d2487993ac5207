"""The sizes of what `benchmarks.gpu` measures: on a GPU of the H100's class, and for `--dry`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.gpu_parts.device import Device, Mode


@dataclass(frozen=True)
class Setting:
    """
    Args:
        device: what all parts run on.
        modes: how networks run.
        large_modes: of the large batch.
        warm_up: steps after the first one that are not timed. In the first, cuDNN chooses its algorithms and code is
            compiled; in the second, CUDA graphs are recorded, which is where they allocate.
        rounds, steps: each contestant is timed once a round, over so many steps in a row.
        matmul: side of the square matrices.
        variant, side: the network of the parts that classify, and the side of its images in pixels.
        batch, large_batch: images of a step.
        detection: images of a step, their sides in pixels, objects an image.
        images, fed_batch, fed: files that are trained from (they repeat few distinct ones), images of a step, and the
            steps that are skipped and measured; skipped are at least those that workers may have prepared ahead.
        workers: processes that decode.
        cifar_images, cifar_steps: images on the device, and the steps of a round.
        exact_batch, exact_steps: images of a step and steps of an epoch, where two runs must be equal.
    """

    device: Device
    modes: tuple[Mode, ...]
    large_modes: tuple[Mode, ...]
    warm_up: int
    rounds: int
    steps: int
    matmul: int
    variant: str
    side: int
    batch: int
    large_batch: int
    detection: tuple[int, int, int]
    images: int
    fed_batch: int
    fed: tuple[int, int]
    workers: int
    cifar_images: int
    cifar_steps: int
    exact_batch: int
    exact_steps: int


def full() -> Setting:
    """For a GPU with 80 GB or more, and 16 cores."""
    workers = max(1, min(14, len(os.sched_getaffinity(0)) - 2))
    return Setting(
        Device("cuda"),
        ("eager", "compiled", "CUDA graphs"),
        ("eager", "compiled"),
        warm_up=4,
        rounds=7,
        steps=4,
        matmul=8192,
        variant="resnet50",
        side=224,
        batch=256,
        large_batch=512,
        detection=(8, 800, 20),
        images=84 * 256,
        fed_batch=256,
        fed=(36, 44),
        workers=workers,
        cifar_images=50_000,
        cifar_steps=100,
        exact_batch=64,
        exact_steps=8,
    )


def dry() -> Setting:
    return Setting(
        Device("cpu"),
        ("eager", "compiled"),
        ("eager",),
        warm_up=1,
        rounds=2,
        steps=1,
        matmul=64,
        variant="resnet18",
        side=32,
        batch=2,
        large_batch=4,
        detection=(1, 64, 2),
        images=16,
        fed_batch=2,
        fed=(2, 3),
        workers=0,
        cifar_images=32,
        cifar_steps=2,
        exact_batch=4,
        exact_steps=3,
    )
