"""The loader of images, or of cached features in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader

from resnet_tl.data.images.dataset import CachedFeatures, ImageDataset
from resnet_tl.data.loading.prefetch import Transfer, prefetched
from resnet_tl.data.loading.worker import worker_faults
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch


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
                    yield from super().__iter__()
            except DataError as error:
                raise self.all_of_its_kind(error) from error
            return
        assert self.batch_sampler is not None, "loaders have a batch_size"
        for draws in self.batch_sampler:
            batch = self.dataset.batch_of(features, draws)  # type: ignore[arg-type]
            yield batch.pin_memory() if self.pin_memory else batch
