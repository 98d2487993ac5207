"""Collates items of one size into a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_tl.data.images.bit_depth import to_common_depth
from resnet_tl.data.images.dataset import Item
from resnet_tl.data.images.deferred import Deferred
from resnet_tl.data.images.pending import join_images
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Unlabelled


def collate(items: Sequence[Item]) -> Batch:
    """Collates N items of V views into a `Batch` with `images` `[N*V, C, H, W]` in channels-last memory format.

    uint8 images are scaled to uint16 if there are uint16 images among them. Items without a target, which come last,
    become `unlabelled`.

    Raises:
        DataError: the images differ in size or channels, because the listed transforms do not end in one size.
    """
    views = to_common_depth([item.views for item in items])
    shapes = {view.shape[-3:] for view in views}
    if len(shapes) > 1:
        raise DataError(
            f"the transforms leave images of different shapes in one batch, {sorted(shapes)}; "
            "end them with a transform to one size, as Resize or CenterCrop are"
        )
    height, width = views[0].shape[-3:-1]
    joined, items = len(items), [item for item in items if item.target is not None]
    if isinstance(items[0].target, np.ndarray):
        targets = torch.from_numpy(np.stack([item.target for item in items]))
    else:
        targets = torch.tensor([item.target for item in items])
    rest: dict[str, Any] = {
        "targets": targets,
        "sizes": torch.tensor([(height, width)] * len(items)),
        "original_sizes": torch.tensor([item.original_size for item in items]),
        "indices": torch.tensor([item.row for item in items]),
    }
    if isinstance(views[0], Deferred):
        return join_images(views, (height, width), **rest)
    images = torch.from_numpy(np.concatenate(views)).permute(0, 3, 1, 2)
    return with_unlabelled(Batch(images, **rest), joined - len(items))


def with_unlabelled(batch: Batch, count: int) -> Batch:
    """Returns the batch whose last `count` images, beyond those that the other fields describe, are `unlabelled`."""
    if count == 0:
        return batch
    assert isinstance(batch.images, Tensor)
    return replace(
        batch, images=batch.images[:-count], unlabelled=Unlabelled(batch.images[-count:], count / len(batch))
    )
