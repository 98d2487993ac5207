"""A listing's images, decoded and augmented: a function of (seed, epoch, sample, repeat), in whatever process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import Dataset

from resnet_tl.data.images.archive import hash64
from resnet_tl.data.images.cache import ImageCache
from resnet_tl.data.images.decode import ImageArray, decode_bytes, jpeg_size, read_bytes
from resnet_tl.data.images.transforms import Transform
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Draw, Features, Sample, Target

T = TypeVar("T")


class Item(NamedTuple):
    """An image on its way into a batch.

    views: `[V, H, W, C]`; target: class index, multi-hot `[K]` float32, mask `[H, W]` uint8, or `Boxes`;
    original_size: (h, w) of the file; row: of the listing, -1 for a filler; size: (h, w) of what is not padding, None
    where nothing is.
    """

    views: ImageArray
    target: Any
    original_size: tuple[int, int]
    row: int
    size: tuple[int, int] | None = None


class Samples(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class CachedFeatures(Protocol):
    def take(self, draws: Sequence[Draw]) -> tuple[Features, dict[str, torch.Tensor]]:
        """Features of N images, and what else of their batch was kept, by its names; targets may be left out."""

    def stored_draw(self, draw: Draw) -> Draw:
        """The draw whose image was kept for this one."""


class ImageDataset(Dataset[Item]):
    """`dataset[Draw(epoch, index, repeat)]` is an `Item`; index -1 gives a filler, a black image of the same size.

    Args:
        listing: the samples.
        transform: image -> views.
        channels: of every image: 3 RGB, 1 grey, others as stored.
        multi_label_classes: K; targets become multi-hot `[K]`. None: one class an image.
        seed: of the augmentation.
        on_error: what an image that cannot be decoded does. error: raise its `DataError`. replace (for training):
            the next sample of the listing that can be decoded takes its place. skip (for evaluation): a filler does.
            `failures()` tells which they were.
        reduce: decode JPEGs at 1/2, 1/4 or 1/8 of their size where the crop still has the pixels it needs: cheaper,
            and a little softer.
        cache: where the images are taken from instead of decoding; those that are not in it are decoded.
    """

    def __init__(
        self,
        listing: Samples,
        transform: Transform,
        *,
        channels: int = 3,
        multi_label_classes: int | None = None,
        seed: int = 0,
        on_error: Literal["error", "replace", "skip"] = "error",
        reduce: bool = False,
        cache: ImageCache | None = None,
    ) -> None:
        self.listing, self.transform, self.channels = listing, transform, channels
        self.multi_label_classes, self.seed, self.on_error, self.reduce = multi_label_classes, seed, on_error, reduce
        self.cache = cache
        self._failed = torch.zeros(len(listing), dtype=torch.bool).share_memory_()  # workers write, `failures` reads

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, draw: Draw) -> Item:
        if draw.index < 0:
            return self._filler()
        found = self._first(draw.index, lambda index: self._load(draw, index))
        return self._filler() if found is None else found

    def batch_of(self, features: CachedFeatures, draws: Sequence[Draw]) -> Batch:
        """The batch of these draws with features in place of images: no file is opened."""
        kept, rest = features.take(draws)
        if "targets" not in rest:
            rest["targets"] = torch.as_tensor(np.array([self._target_at(i) for i in rest["indices"].tolist()]))
        return Batch(kept, **rest)

    def failures(self) -> list[str]:
        """One sentence for each image that could not be decoded so far, in this process or its workers."""
        return [sentence for index in self._failed.nonzero().flatten().tolist() for sentence in self._reason(index)]

    def _first(self, index: int, load: Callable[[int], T]) -> T | None:
        """What `load` makes of the sample, or of the next one that can take its place; None: to be skipped."""
        for candidate in self._candidates(index):
            if not self._failed[candidate]:
                try:
                    return load(candidate)
                except DataError:
                    if self.on_error == "error":
                        raise
                    self._failed[candidate] = True
        if self.on_error == "skip":
            return None
        raise DataError(f"none of the {len(self)} images can be decoded; the first: {self.failures()[0]}")

    def _candidates(self, index: int) -> Iterator[int]:
        """The sample, and those that may take its place, in order."""
        yield index
        if self.on_error == "replace":
            yield from range(index + 1, len(self))
            yield from range(index)

    def _load(self, draw: Draw, index: int) -> Item:
        sample = self.listing[index]
        seed = (self.seed, draw.epoch, hash64(sample.key), draw.repeat)
        found = self.cache.get(sample.key) if self.cache else None
        image, original = found or decode_for(self.transform, sample.path, self.channels, seed, self.reduce)
        return Item(self.transform(image, original, seed), self._target(sample.target), original, index)

    def _target_at(self, index: int) -> int | np.ndarray:
        none: Target = () if self.multi_label_classes else 0
        return self._target(self.listing[index].target if index >= 0 else none)

    def _target(self, target: Target) -> int | np.ndarray:
        if isinstance(target, int):
            return target
        several = np.zeros(self.multi_label_classes or 0, np.float32)
        several[list(target)] = 1  # type: ignore[arg-type, index]
        return several

    def _filler(self) -> Item:
        black = np.zeros((64, 64, self.channels), np.uint8)
        views = self.transform(black, (64, 64), (0,))
        return Item(views, self._target_at(-1), (64, 64), -1)

    def _reason(self, index: int) -> list[str]:
        try:
            decode_bytes(read_bytes(path := self.listing[index].path), path, self.channels)
        except DataError as error:
            return [str(error)]
        return []


def decode_for(
    transform: Transform, path: str, channels: int, seed: tuple[int, ...], reduce: bool
) -> tuple[ImageArray, tuple[int, int]]:
    """An image for this transform, and the file's (h, w).

    reduce: decode a JPEG at 1/2, 1/4 or 1/8 of its size, where the transform says that this is enough.
    """
    data = read_bytes(path)
    size = jpeg_size(data) if reduce else None
    if size is None:
        image = decode_bytes(data, path, channels)
        return image, image.shape[:2]
    return decode_bytes(data, path, channels, transform.reduction(size, seed)), size
