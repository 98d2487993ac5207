"""What every dataset of images does about samples that cannot be decoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.data.images.dataset import ImageDataset, Item, OnError, Samples
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Draw

COUNT = 6


class Numbered(ImageDataset[Samples]):
    """Images whose pixels are their index; those of `broken` cannot be decoded."""

    def __init__(self, broken: set[int], on_error: OnError) -> None:
        super().__init__(Listing.of("", [str(i) for i in range(COUNT)], [0] * COUNT), on_error=on_error)
        self.broken = broken

    def _load(self, draw: Draw, index: int) -> Item:
        return Item(self._read(index), 0, (1, 1), index)

    def _filler(self) -> Item:
        return Item(np.zeros((1, 1, 1, 3)), 0, (1, 1), -1)

    def _read(self, index: int) -> np.ndarray:
        if index in self.broken:
            raise DataError(f"{index}: broken")
        return np.full((1, 1, 1, 3), index)


@given(st.sets(st.integers(0, COUNT - 1), max_size=COUNT - 1), st.integers(0, COUNT - 1))
def test_replace_takes_the_next_that_can_be_decoded(broken: set[int], index: int) -> None:
    dataset = Numbered(broken, "replace")
    expected = next(i % COUNT for i in range(index, index + COUNT) if i % COUNT not in broken)
    for _ in range(2):  # the second time from what is known to fail
        item = dataset[Draw(0, index)]
        assert (item.row, item.views.max()) == (expected, expected)
    tried = {i % COUNT for i in range(index, index + COUNT) if i - index < (expected - index) % COUNT}
    assert dataset.failures() == [f"{i}: broken" for i in sorted(tried)]


def test_skip_gives_a_filler_and_error_raises() -> None:
    dataset = Numbered({2, 4}, "skip")
    assert [dataset[Draw(0, index)].row for index in range(COUNT)] == [0, 1, -1, 3, -1, 5]
    assert dataset.failures() == ["2: broken", "4: broken"]
    with pytest.raises(DataError, match="4: broken"):
        Numbered({2, 4}, "error")[Draw(0, 4)]


def test_nothing_to_replace_with_is_an_error_that_names_the_first() -> None:
    with pytest.raises(DataError, match="none of the 6 images can be decoded; the first: 0: broken"):
        Numbered(set(range(COUNT)), "replace")[Draw(0, 3)]


def test_a_file_that_has_been_repaired_is_no_failure_any_more() -> None:
    dataset = Numbered({2}, "skip")
    assert dataset[Draw(0, 2)].row == -1
    dataset.broken.clear()
    assert dataset.failures() == []
