"""Features in place of images: which images are the same in every epoch, and the loader that leaves them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from resnet_tl.data.images.content_digest import content_digest
from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset
from resnet_tl.structures.records import Batch


class ImageLoader(DataLoader[Batch]):
    """Batches of images; in epochs that begin while there are `cached_features`, of these in the same order.

    Features are read in this process, without workers: nothing has to be decoded.
    """

    cached_features: Callable[[], CachedFeatures | None] = staticmethod(lambda: None)
    dataset: ImageDataset  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        features = self.cached_features()  # asked with the first batch, when the epoch has begun
        if features is None:
            yield from super().__iter__()
            return
        for draws in self.batch_sampler:  # type: ignore[union-attr]
            batch = self.dataset.batch_of(features, draws)  # type: ignore[arg-type]
            yield batch.pin_memory() if self.pin_memory else batch


@dataclass(frozen=True)
class FixedImages:
    """The images of a split, in the order of their listing, as every epoch shows them.

    name: of the split, for people.
    files: all that is read of them, by stable keys.
    how: all that is done to a file until it is in a batch, as plain Python.
    batches: all of them in their n-th fixed view.
    folder: where what is computed from them may be kept.
    """

    name: str
    count: int
    files: dict[str, str]
    how: dict[str, Any]
    batches: Callable[[int], DataLoader[Batch]]
    folder: Path

    def __len__(self) -> int:
        return self.count

    def key(self) -> str:
        """Says which files these are, what is in them, and what is done to them."""
        return json.dumps([content_digest(self.files, self.folder), self.how])
