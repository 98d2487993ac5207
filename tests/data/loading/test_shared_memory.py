"""Memory that is used again: batches arrive as they were made, and stay so for who keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from resnet_tl.data.images.dataset import Item
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.loading.shared_memory import NO_ROOM, SEGMENTS, SharedMemoryCollate
from resnet_tl.structures.records import Batch


class Plain(Dataset[Item]):
    """Image i is filled with i; `sizes[i % len]` is its side, `dtype` its type."""

    def __init__(self, count: int, sizes: Sequence[int] = (6,), dtype: type = np.uint8, target: Any = 3) -> None:
        self.count, self.sizes, self.dtype, self.target = count, sizes, dtype, target

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Item:
        side = self.sizes[index % len(self.sizes)]
        return Item(np.full((1, side, side + 1, 3), index, self.dtype), self.target, (index, 9), index)


def loader(dataset: Dataset[Item], *, batch_size: int = 1, num_workers: int = 1, **options: Any) -> DataLoader[Batch]:
    workers = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    return DataLoader(dataset, batch_size, collate_fn=SharedMemoryCollate(collate), **workers, **options)


def assert_equal(batches: list[Batch], expected: list[Batch]) -> None:
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert vars(batch).keys() == vars(other).keys()
        for name, value in vars(batch).items():
            torch.testing.assert_close(value, vars(other)[name], rtol=0, atol=0)
        assert batch.images.stride() == other.images.stride()


@pytest.mark.parametrize(("how", "dtype"), [("fork", np.uint8), ("spawn", np.uint16)])
def test_batches_from_workers_equal_those_of_this_process(how: str, dtype: type) -> None:
    dataset = Plain(7, dtype=dtype, target=np.array([1, 0], np.float32))
    made_here = list(loader(dataset, batch_size=3, num_workers=0))
    from_workers = loader(dataset, batch_size=3, num_workers=1 + (how == "fork"), multiprocessing_context=how)
    assert_equal(list(from_workers), made_here)
    assert_equal(list(from_workers), made_here)


def test_batches_that_are_held_are_not_overwritten() -> None:
    dataset = Plain(3 * SEGMENTS)
    assert_equal(list(loader(dataset)), list(loader(dataset, num_workers=0)))


def test_a_view_alone_keeps_its_images() -> None:
    corners = [batch.images[0, 0, 0, :1] for batch in loader(Plain(SEGMENTS - 3))]
    for batch in (batches := iter(loader(Plain(3 * SEGMENTS)))):
        corners.append(batch.images[0, 0, 0, :1])
    del batch, batches
    assert torch.cat(corners).tolist() == [*range(SEGMENTS - 3), *range(3 * SEGMENTS)]


def test_released_batches_share_few_segments() -> None:
    again = loader(Plain(50))
    places = {batch.images.data_ptr() for _ in range(2) for batch in again}
    assert len(places) <= 5  # 2 made ahead, one on its way, one in use and the one before


def test_two_iterators_of_one_loader_do_not_mix() -> None:
    both = DataLoader(Plain(20), collate_fn=SharedMemoryCollate(collate), num_workers=1)
    pairs = list(zip(both, both, strict=True))
    for index, pair in enumerate(pairs):
        assert [batch.indices.item() for batch in pair] == [index] * 2
        assert [batch.images.unique().tolist() for batch in pair] == [[index]] * 2


def test_an_interrupted_epoch_loses_no_segment() -> None:
    again = loader(Plain(12))
    for _ in range(SEGMENTS):
        for batch in again:
            if batch.indices.item() == 2:
                break
    places = {batch.images.data_ptr() for batch in again}
    assert len(places) <= 6


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_images_of_any_size_fit(sizes: list[int]) -> None:
    """Does in this process what a worker does; every batch is received and released while the last one is held."""
    transport, held = SharedMemoryCollate(collate), None
    for index, item in enumerate(Plain(12, sizes)[i] for i in range(12)):
        rebuild, message = transport._to_segment(collate([item]), item.views).__reduce__()
        batch = rebuild(*message)
        assert batch.images.unique().tolist() == [index]
        assert held is None or held.images.unique().tolist() == [index - 1]
        held = batch
    assert len(transport._segments) <= 2


def test_batches_are_copied_where_no_memory_can_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(size: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("resnet_tl.data.loading.shared_memory.SharedBytes", full)
    dataset = Plain(7, target=np.array([1, 0], np.float32))
    from_workers = loader(dataset, batch_size=3, num_workers=2)
    with pytest.warns(UserWarning, match="no memory can be shared with the loader's workers") as warned:
        arrived = [list(from_workers), list(from_workers)]
    assert [str(each.message) for each in warned].count(NO_ROOM) == 1  # torch warns too where there is one core
    for batches in arrived:
        assert_equal(batches, list(loader(dataset, batch_size=3, num_workers=0)))


def test_memory_that_cannot_be_sent_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does in this process what a worker does: its first message fails, a later one of a free segment does not."""
    transport = SharedMemoryCollate(collate)
    small, large = Plain(1, [4])[0], Plain(1, [40])[0]
    rebuild, message = transport._to_segment(collate([small]), small.views).__reduce__()
    del rebuild, message
    transport._segments[0].tensor[-1] = False

    def refuse(*_: object) -> bytes:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("resnet_tl.data.loading.shared_memory.ForkingPickler.dumps", refuse)
    rebuild, copied = transport._to_segment(collate([large]), large.views).__reduce__()
    assert_equal([rebuild(*copied)], [collate([large])])
    assert len(transport._segments) == 1
    assert len(transport._segments[0].tensor) == small.views.nbytes + 1
