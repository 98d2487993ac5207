"""The padding of images of several sizes in a batch."""

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
    return (side + MULTIPLE - 1) // MULTIPLE * MULTIPLE


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Returns (h, w) in pixels with padding."""
    return padded(size[0]), padded(size[1])


def unpadded(images: Tensor, sizes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the images `[n, C, h, w]` of one size without their padding, and their positions `[n]` in the batch.

    So an image has the same outputs in every batch: padding changes them near its border.

    Args:
        images: `[N, C, H, W]`, each in the upper left corner.
        sizes: `[N, 2]`, their (h, w).
    """
    distinct = sizes.unique(dim=0)
    if distinct.tolist() == [list(images.shape[-2:])]:
        yield torch.arange(len(images), device=sizes.device), images
        return
    for size in distinct:
        chosen = (sizes == size).all(1).nonzero().flatten()
        height, width = size.tolist()
        yield chosen, images[chosen, :, :height, :width].contiguous(memory_format=torch.channels_last)


def by_size(batch: Batch) -> Iterator[tuple[Tensor, Batch]]:
    """Yields the images of one size as a batch without padding, and their positions `[n]` in `batch`, whose targets are
    `Boxes`. Features, which were computed with the padding of their batch, are yielded as they are."""
    if not isinstance(batch.images, Tensor):
        yield torch.arange(len(batch), device=batch.sizes.device), batch
        return
    targets = batch.targets.split(len(batch))
    for chosen, images in unpadded(batch.images, batch.sizes):
        if images is batch.images:
            yield chosen, batch
            return
        others = {name: getattr(batch, name)[chosen] for name in ("sizes", "original_sizes", "indices")}
        yield chosen, replace(batch, images=images, targets=Boxes.join([targets[i] for i in chosen.tolist()]), **others)
