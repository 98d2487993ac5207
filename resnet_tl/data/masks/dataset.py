"""Images with masks: decoded, changed together, padded to batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from resnet_tl.data.images.archive import hash64
from resnet_tl.data.images.bit_depth import to_common_depth
from resnet_tl.data.images.class_masks import ClassMask
from resnet_tl.data.images.dataset import ImageDataset, Item, Samples
from resnet_tl.data.images.decode import decode
from resnet_tl.data.masks.transforms import PairTransform
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE, Batch, Draw


class SamplesWithMasks(Samples, Protocol):
    def mask(self, index: int) -> ClassMask: ...

    def cache_key(self) -> dict[str, Any]:
        """What decides, beside the files, what a mask is, as plain Python."""


class MaskDataset(ImageDataset):
    """A `ImageDataset` whose targets are masks; a filler's is all ignored.

    Args:
        listing: images and masks.
        pair_transform: (image, mask) -> pair.
        options: of `ImageDataset`.
    """

    listing: SamplesWithMasks

    def __init__(self, listing: SamplesWithMasks, pair_transform: PairTransform, **options: Any) -> None:
        super().__init__(listing, pair_transform, **options)  # type: ignore[arg-type]
        self.pair_transform = pair_transform

    def _load(self, draw: Draw, index: int) -> Item:
        sample = self.listing[index]
        image, mask = decode(sample.path, self.channels), self.listing.mask(index)
        if image.shape[:2] != mask.shape:
            raise DataError(f"{sample.path}: is {image.shape[:2]} (h, w), but its mask {mask.shape}")
        return self._item(image, mask, (self.seed, draw.epoch, hash64(sample.key), draw.repeat), index)

    def _item(self, image: np.ndarray, mask: np.ndarray, seed: tuple[int, ...], index: int) -> Item:
        pair = self.pair_transform(image, mask, seed)
        return Item(pair.image[None], pair.mask, mask.shape, index, pair.size)

    def _filler(self) -> Item:
        black = np.zeros((64, 64, self.channels), np.uint8)
        return self._item(black, np.full((64, 64), IGNORE, np.uint8), (0,), -1)

    def _reason(self, index: int) -> list[str]:
        try:
            self._load(Draw(0, index), index)
        except DataError as error:
            return [str(error)]
        return []


def collate_masks(items: Sequence[Item]) -> Batch:
    """N images of any sizes -> a `Batch`, each at the upper left of the largest; masks `[N, H, W]` uint8, padded with
    `IGNORE`."""
    views = to_common_depth([item.views for item in items])
    height, width = (max(view.shape[axis] for view in views) for axis in (1, 2))
    images = np.zeros((len(items), height, width, views[0].shape[3]), views[0].dtype)
    masks = np.full((len(items), height, width), IGNORE, np.uint8)
    for image, mask, view, item in zip(images, masks, views, items, strict=True):
        image[: view.shape[1], : view.shape[2]] = view[0]
        mask[: view.shape[1], : view.shape[2]] = item.target
    return Batch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.from_numpy(masks),
        sizes=torch.tensor([item.size for item in items]),
        original_sizes=torch.tensor([item.original_size for item in items]),
        indices=torch.tensor([item.row for item in items]),
    )
