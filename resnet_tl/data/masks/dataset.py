"""Images with masks: decoded, transformed together, padded to batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.dataset import ImageDataset, Item, Samples
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.pending import join_images
from resnet_tl.data.masks.transforms import PairTransform
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE, Batch, Draw


class SamplesWithMasks(Samples, Protocol):
    def mask(self, index: int) -> ClassMask: ...


class MaskDataset(ImageDataset[SamplesWithMasks]):
    """An `ImageDataset` whose targets are masks; a filler's is `IGNORE` throughout.

    Args:
        listing: images and masks.
        transform: (image, mask, seed) -> pair.
        options: of `ImageDataset`.
    """

    def __init__(self, listing: SamplesWithMasks, transform: PairTransform, **options: Any) -> None:
        super().__init__(listing, **options)
        self.transform = transform

    def _load(self, draw: Draw, index: int) -> Item:
        image, mask = self._read(index)
        return self._item(image, mask, self._augmentation_seed(draw, self.listing[index].key), index)

    def _read(self, index: int) -> tuple[ImageArray, ClassMask]:
        path = self.listing[index].path
        image, mask = self._open(path), self.listing.mask(index)
        if image.shape[:2] != mask.shape:
            raise DataError(f"{path}: is {image.shape[:2]} (h, w), but its mask {mask.shape}")
        return image, mask

    def _item(self, image: ImageArray, mask: ClassMask, seed: Seed, row: int) -> Item:
        pair = self.transform(image, mask, seed)
        return Item(pair.image[None], pair.mask, mask.shape, row, pair.size)

    def _filler(self) -> Item:
        black = np.zeros((64, 64, self.channels), np.uint8)
        return self._item(black, np.full((64, 64), IGNORE, np.uint8), (0,), -1)


def collate_masks(items: Sequence[Item]) -> Batch:
    """Collates N images of any sizes into a `Batch`.

    `images` are `[N, C, H, W]` and targets `[N, H, W]` uint8, each in the upper left corner of the size of the largest;
    masks are padded with `IGNORE`.
    """
    height, width = (max(item.target.shape[axis] for item in items) for axis in (0, 1))
    masks = np.full((len(items), height, width), IGNORE, np.uint8)
    for mask, item in zip(masks, items, strict=True):
        mask[: item.target.shape[0], : item.target.shape[1]] = item.target
    return join_images(
        [item.views for item in items],
        (height, width),
        targets=torch.from_numpy(masks),
        sizes=torch.tensor([item.size for item in items]),
        original_sizes=torch.tensor([item.original_size for item in items]),
        indices=torch.tensor([item.row for item in items]),
    )
