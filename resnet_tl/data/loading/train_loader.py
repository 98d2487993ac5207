"""A DataLoader that can go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resnet_tl.data.loading.image_loader import ImageLoader
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.structures.records import Batch


class TrainLoader(ImageLoader):
    """Over a `TrainSampler`. Its state is the epoch and how many batches of it were given out, those aside that workers
    have fetched ahead; a loader that takes the state over begins with the next."""

    sampler: TrainSampler
    _given = 0
    _behind = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.sampler.start = self._given = self._behind
        self._behind = 0  # for the first iterator alone
        return self._counted(super().__iter__())

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.sampler.epoch, "batches": self._given}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.set_epoch(state["epoch"])
        self._behind = state["batches"]

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self._given += 1
            yield batch
