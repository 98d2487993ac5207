"""The loader of images, or of cached features in their place."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset
from resnet_tl.data.loading.prefetch import Transfer, prefetched
from resnet_tl.data.loading.worker import killed_at_exit, signals_wait, worker_faults
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch

READ_AHEAD = 2 << 20
"""Bytes of cached features that are read at once, as long as they are whole batches: reading a batch of a few vectors
takes longer than a head's step on it, and reading several takes little more."""


class ImageLoader(DataLoader[Batch]):
    """Yields batches of images; in epochs that begin while there are `cached_features`, batches of these instead.

    The order is the same. Features are read in this process, without workers: nothing has to be decoded.
    """

    cached_features: Callable[[], CachedFeatures | None] = staticmethod(lambda: None)
    all_of_its_kind: Callable[[DataError], DataError] = staticmethod(lambda error: error)
    """Returns what to raise for an image that cannot be read."""
    transfer: Transfer[Any] | None = None
    """Sends batches to a device ahead of their turn; None: they stay in the host's memory."""
    dataset: ImageDataset  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = self._batches()
        return batches if self.transfer is None else prefetched(batches, self.transfer)

    def _batches(self) -> Iterator[Batch]:
        features = self.cached_features()  # looked up with the first batch, when the epoch has begun
        if features is None:
            try:
                with worker_faults():
                    with killed_at_exit(), signals_wait(self.multiprocessing_context or multiprocessing.get_context()):
                        iterator = super().__iter__()
                    yield from iterator
            except DataError as error:
                raise self.all_of_its_kind(error) from error
            return
        assert self.batch_size is not None, "loaders have a batch_size"
        assert self.batch_sampler is not None
        at_once = max(READ_AHEAD // (features.bytes_per_image * self.batch_size), 1)
        draws = iter(self.batch_sampler)
        while batches := list(itertools.islice(draws, at_once)):
            for batch in self.dataset.batches_of(features, batches):  # type: ignore[arg-type]
                yield batch.pin_memory() if self.pin_memory else batch
