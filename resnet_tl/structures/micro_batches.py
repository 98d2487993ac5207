"""Splitting a batch into micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from resnet_tl.structures.padding import padded
from resnet_tl.structures.records import Batch, Boxes, Features


def split(batch: Batch, size: int | None) -> list[Batch]:
    """Splits a batch into as few micro-batches of at most `size` images as possible, of nearly equal sizes, in order;
    None leaves it whole. Those of images of several sizes have no more padding than a batch of their own would have."""
    count = 1 if size is None else -(-len(batch) // size)
    return [batch] if count == 1 else list(_pieces(batch, count))


def _pieces(batch: Batch, count: int) -> Iterator[Batch]:
    ends = [len(batch) * number // count for number in range(count + 1)]
    for start, stop in pairwise(ends):
        others: dict[str, Any] = {
            name: getattr(batch, name)[start:stop] for name in ("sizes", "original_sizes", "indices")
        }
        images = _images(batch, start, stop)
        if batch.unlabelled is not None:
            own = slice(*(len(batch.unlabelled.images) * end // len(batch) for end in (start, stop)))
            others["unlabelled"] = replace(batch.unlabelled, images=batch.unlabelled.images[own])
        if not isinstance(batch.targets, Boxes):
            yield replace(batch, images=images, targets=batch.targets[start:stop], **others)
            continue
        if isinstance(images, Tensor):
            height, width = (padded(side) for side in others["sizes"].amax(0).tolist())
            images = images[..., :height, :width]
        yield replace(batch, images=images, targets=batch.targets.images(start, stop), **others)


def _images(batch: Batch, start: int, stop: int) -> Tensor | Features:
    if not isinstance(batch.images, Tensor):
        return batch.images.images(start, stop)
    views = len(batch.images) // len(batch)
    return batch.images[start * views : stop * views]
