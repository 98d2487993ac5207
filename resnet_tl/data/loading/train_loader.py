"""A training loader that can resume in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.structures.records import Batch


class TrainLoader(ImageLoader):
    """Loads the draws of a `TrainSampler`.

    Its state is the epoch and how many batches of it have been yielded, without those that workers have prefetched; a
    loader that loads this state starts with the next batch.
    """

    sampler: TrainSampler
    _yielded = 0
    _skip = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.sampler.start = self._yielded = self._skip
        self._skip = 0  # only the first iterator resumes
        return self._counted(super().__iter__())

    def renew(self, dataset: Any) -> None:
        """Takes the transform of another dataset of the same images, from the next epoch on."""
        self.dataset.transform = dataset.transform  # type: ignore[attr-defined]  # every data set of images has one
        self._iterator = None  # torch's: its workers, where they are persistent, have the dataset as it was

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.sampler.epoch, "batches": self._yielded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.set_epoch(state["epoch"])
        self._skip = state["batches"]

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._yielded += 1
            yield batch
