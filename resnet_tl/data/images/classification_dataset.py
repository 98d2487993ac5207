"""Images with classes, decoded and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from resnet_tl.data.images.cache import ImageCache
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset, Item, Samples
from resnet_tl.data.images.decode import ImageArray, decode_bytes, jpeg_size, read_bytes
from resnet_tl.data.images.deferred import defer
from resnet_tl.data.images.transforms import Transform
from resnet_tl.structures.records import Batch, Draw, Sample, Target


class SamplesWithClasses(Samples, Protocol):
    targets: Any
    """Class indices `[N]`, or a row of them per sample."""


class ClassificationDataset(ImageDataset[SamplesWithClasses]):
    """An `ImageDataset` whose targets are classes; a filler's is class 0, or none of several.

    Args:
        listing: the samples.
        transform: image -> views.
        multi_label_classes: K; targets become multi-hot `[K]`. None: one class per image.
        reduce: decode JPEGs at 1/2, 1/4 or 1/8 of their size where the crop still has the pixels it needs: cheaper,
            and a little softer.
        cache: where images are read from; those that are not in it are decoded.
        options: of `ImageDataset`.
    """

    def __init__(
        self,
        listing: SamplesWithClasses,
        transform: Transform,
        *,
        multi_label_classes: int | None = None,
        reduce: bool = False,
        cache: ImageCache | None = None,
        **options: Any,
    ) -> None:
        super().__init__(listing, **options)
        self.transform, self.multi_label_classes = transform, multi_label_classes
        self.reduce, self.cache = reduce, cache

    def batch_of(self, features: CachedFeatures, draws: Sequence[Draw]) -> Batch:
        maps, rest = features.take(draws)
        return Batch(maps, torch.from_numpy(self._targets_at(rest["indices"].numpy())), **rest)

    def _load(self, draw: Draw, index: int) -> Item:
        sample = self.listing[index]
        seed = self._augmentation_seed(draw, sample.key)
        image, original = self._opened(sample, seed)
        return Item(self.transform(image, original, seed), self._target(sample.target), original, index)

    def _opened(self, sample: Sample, seed: Seed) -> tuple[ImageArray, tuple[int, int]]:
        """Returns an image, perhaps at a reduced size, and the file's (h, w)."""
        if self.on_device == "decoding and transforms":
            image = self._open(sample.path)
            return image, (image.shape[0], image.shape[1])
        stored = self.cache.get(sample.key) if self.cache else None
        image, original = stored or decode_for(self.transform, sample.path, self.channels, seed, self.reduce)
        return (image if self.on_device == "nothing" else defer(image, sample.path)), original

    def _filler(self) -> Item:
        black = np.zeros((64, 64, self.channels), np.uint8)
        views = self.transform(black, (64, 64), (0,))
        return Item(views, self._target_at(-1), (64, 64), -1)

    def _read(self, index: int) -> ImageArray:
        path = self.listing[index].path
        return decode_bytes(read_bytes(path), path, self.channels)

    def _targets_at(self, indices: np.ndarray) -> np.ndarray:
        if self.multi_label_classes:
            return np.array([self._target_at(index) for index in indices.tolist()])
        return np.where(indices >= 0, self.listing.targets[indices], 0).astype(np.int64)

    def _target_at(self, index: int) -> int | np.ndarray:
        none: Target = () if self.multi_label_classes else 0
        return self._target(self.listing[index].target if index >= 0 else none)

    def _target(self, target: Target) -> int | np.ndarray:
        if isinstance(target, int):
            return target
        assert isinstance(target, tuple), "classes are an index, or a tuple of them"
        multi_hot = np.zeros(self.multi_label_classes or 0, np.float32)
        multi_hot[list(map(int, target))] = 1
        return multi_hot


def decode_for(
    transform: Transform, path: str, channels: int, seed: Seed, reduce: bool
) -> tuple[ImageArray, tuple[int, int]]:
    """Decodes an image for this transform; returns it with the file's (h, w).

    reduce: decode a JPEG at 1/2, 1/4 or 1/8 of its size where that is enough for the transform.
    """
    data = read_bytes(path)
    size = jpeg_size(data) if reduce else None
    if size is None:
        image = decode_bytes(data, path, channels)
        return image, image.shape[:2]
    return decode_bytes(data, path, channels, transform.reduction(size, seed)), size
