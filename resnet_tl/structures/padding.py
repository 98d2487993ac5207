"""The padding of images in batches of detection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from resnet_tl.structures.records import Batch, Boxes

MULTIPLE = 32
"""A batch's sides are multiples of it: all strides of a pyramid divide them, and fewer different shapes occur."""


def padded(side: int) -> int:
    """Returns a side in pixels with padding."""
    return -(-side // MULTIPLE) * MULTIPLE


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns (h, w) in pixels with padding."""
    return padded(size[0]), padded(size[1])


def by_size(batch: Batch) -> Iterator[tuple[Tensor, Batch]]:
    """Yields the images of one size as a batch without padding, and their positions `[n]` in `batch`, whose targets are
    `Boxes`. So an image has the same outputs in every batch, which padding changes near its border.

    Features, which were computed with the padding of their batch, are yielded as they are.
    """
    distinct = batch.sizes.unique(dim=0)
    if not isinstance(batch.images, Tensor) or distinct.tolist() == [list(batch.images.shape[-2:])]:
        yield torch.arange(len(batch), device=distinct.device), batch
        return
    targets = batch.targets.split(len(batch))
    for size in distinct:
        chosen = (batch.sizes == size).all(1).nonzero().flatten()
        height, width = size.tolist()
        images = batch.images[chosen, :, :height, :width].contiguous(memory_format=torch.channels_last)
        others = {name: getattr(batch, name)[chosen] for name in ("sizes", "original_sizes", "indices")}
        yield chosen, replace(batch, images=images, targets=Boxes.join([targets[i] for i in chosen.tolist()]), **others)
