"""Epochs of a small folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.structures.records import Batch


def folder(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(str(root), **{"image_size": 16, "batch_size": 4, "num_workers": 0, "seed": 0, **options})


def epoch_of(loader: DataLoader[Batch], epoch: int = 0) -> list[Batch]:
    if isinstance(loader.sampler, TrainSampler):
        loader.sampler.set_epoch(epoch)
    return list(loader)


def equal(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(value, others[name])
        for one, other in zip(first, second, strict=True)
        for others in [tensors(other)]
        for name, value in tensors(one).items()
    )


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """A batch's tensors by name, those without labels too."""
    found = {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    return found if batch.unlabelled is None else {**found, "unlabelled": batch.unlabelled.images}
