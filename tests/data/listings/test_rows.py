"""Rows of different lengths in flat arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.data.listings.rows import Rows, offsets_of, ranges

lists = st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=6)


@given(lists, lists, st.data())
def test_rows_are_what_was_packed_selected_and_joined(
    rows: list[list[int]], more: list[list[int]], data: st.DataObject
) -> None:
    packed = Rows.of(rows)
    assert [row.tolist() for row in (packed[i] for i in range(len(packed)))] == rows
    assert packed.lengths.tolist() == [len(row) for row in rows]
    chosen = data.draw(st.lists(st.sampled_from(range(len(rows))))) if rows else []
    selected = packed.select(np.array(chosen, np.int64))
    assert [selected[i].tolist() for i in range(len(selected))] == [rows[i] for i in chosen]
    joined = packed.join(Rows.of(more))
    assert [joined[i].tolist() for i in range(len(joined))] == rows + more


@given(st.lists(st.text(max_size=5), max_size=5))
def test_texts_are_rows_of_bytes(texts: list[str]) -> None:
    packed = Rows.of_text(texts)
    assert packed.texts() == texts
    assert [packed[i].tobytes().decode() for i in range(len(packed))] == texts


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        Rows.of([[1], [2]])[index]


def test_ranges_and_offsets() -> None:
    assert ranges(np.array([4, 9, 0]), np.array([2, 1, 0])).tolist() == [4, 5, 9]
    assert ranges(np.array([], np.int64), np.array([], np.int64)).tolist() == []
    assert offsets_of([2, 0, 3]).tolist() == [0, 2, 2, 5]
    assert offsets_of([]).dtype == np.int64
