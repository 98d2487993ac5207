"""Batches: what the network is promised of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnet_tl.data.images.dataset import Item
from resnet_tl.data.loading.collate import collate
from resnet_tl.errors import DataError


def item(row: int, views: int = 1, size: int = 8, dtype: type = np.uint8, target: int | np.ndarray = 0) -> Item:
    images = (
        np.full((views, size, size + 2, 3), row + 1, dtype) * np.arange(1, views + 1, dtype=dtype)[:, None, None, None]
    )
    return Item(images, target, (100 + row, 200), row)


def test_a_batch_is_channels_last_and_has_the_rows_it_comes_from() -> None:
    batch = collate([item(5, target=2), item(7, target=1), item(-1)])
    assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (3, 3, 8, 10))
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.images[:, 0, 0, 0].tolist() == [6, 8, 0]
    assert batch.targets.tolist() == [2, 1, 0]
    assert batch.sizes.tolist() == [[8, 10]] * 3
    assert batch.original_sizes.tolist() == [[105, 200], [107, 200], [99, 200]]
    assert batch.indices.tolist() == [5, 7, -1]
    assert {batch.targets.dtype, batch.sizes.dtype, batch.original_sizes.dtype, batch.indices.dtype} == {torch.int64}
    assert len(batch) == 3


def test_views_of_an_image_are_adjacent() -> None:
    batch = collate([item(row, views=3) for row in (0, 1)])
    assert batch.images[:, 0, 0, 0].tolist() == [1, 2, 3, 2, 4, 6]
    assert len(batch.targets) == len(batch.sizes) == 2


def test_targets_of_many_labels_are_multi_hot() -> None:
    targets = [np.array(each, np.float32) for each in ([1, 0, 1], [0, 0, 0])]
    batch = collate([item(i, target=target) for i, target in enumerate(targets)])
    assert batch.targets.dtype == torch.float32
    assert batch.targets.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_16_bits_stay_and_8_bits_next_to_them_are_scaled() -> None:
    batch = collate([item(255 - 1), item(1000, dtype=np.uint16)])
    assert batch.images.dtype == torch.uint16
    assert batch.images[:, 0, 0, 0].tolist() == [65535, 1001]
    assert collate([item(0, dtype=np.uint16)]).images.dtype == torch.uint16


def test_images_of_different_sizes_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"different shapes in one batch, \[\(8, 10, 3\), \(9, 11, 3\)\]; end them with"
    ):
        collate([item(0), item(1, size=9)])
