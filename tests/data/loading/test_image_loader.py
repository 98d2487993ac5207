"""Loaders of images, or of cached features in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from resnet_tl.data.images.dataset import CachedFeatures
from resnet_tl.data.loading.image_loader import READ_AHEAD, ImageLoader
from resnet_tl.structures.records import Batch, Draw


class Numbers:
    """A dataset of numbers; with features, a batch is what the features are, and the draws."""

    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return 5

    def batch_of(self, features: Any, draws: Sequence[Draw]) -> Batch:
        drawn = torch.tensor(draws)
        return Batch(features, drawn, sizes=drawn, original_sizes=drawn, indices=drawn)

    def batches_of(self, features: Any, batches: Sequence[Sequence[Draw]]) -> Iterator[Batch]:
        self.read_at_once = len(batches)
        return (self.batch_of(features, draws) for draws in batches)


def test_features_replace_images_from_the_next_epoch_on_in_the_same_order() -> None:
    order = [3, 0, 4, 1, 2]
    numbers, features = Numbers(), SimpleNamespace(bytes_per_image=READ_AHEAD // 4)
    loader = ImageLoader(numbers, batch_size=2, sampler=order, collate_fn=list)  # type: ignore[arg-type]
    in_use: list[CachedFeatures | None] = [None]
    loader.cached_features = lambda: in_use[0]
    epoch = iter(loader)
    assert next(epoch) == [3, 0]
    in_use[0] = features  # type: ignore[call-overload]
    assert list(epoch) == [[4, 1], [2]], "an epoch that has begun ends with images"
    batches = list(loader)
    assert [batch.targets.tolist() for batch in batches] == [[3, 0], [4, 1], [2]]
    assert all(batch.images is features for batch in batches)
    assert numbers.read_at_once == 1, "two batches of two are read, then the last"
    in_use[0] = None
    assert list(loader) == [[3, 0], [4, 1], [2]]
