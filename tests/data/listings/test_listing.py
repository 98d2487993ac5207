"""Listings: flat, small, and the same samples whatever is selected or joined."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Sample

names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=20)


@settings(deadline=None)
@given(names, st.data())
def test_gives_back_what_was_put_in_and_selects(keys: list[str], data: st.DataObject) -> None:
    targets = [data.draw(st.lists(st.integers(0, 9), max_size=3).map(tuple)) for _ in keys]
    for kind in (targets, [len(target) for target in targets]):
        listing = Listing.of("photos", keys, kind)
        want = [Sample(f"photos/{key}" if not key.startswith("/") else key, kind[i], key) for i, key in enumerate(keys)]
        assert list(listing) == want
        chosen = np.array(data.draw(st.lists(st.sampled_from(range(len(keys))), max_size=9)) if keys else [], np.int64)
        assert list(listing.select(chosen)) == [want[i] for i in chosen]
        assert list(listing.select(chosen).join(listing)) == [want[i] for i in chosen] + want


def test_multi_label_is_known_even_where_no_class_is_true() -> None:
    listing = Listing.of("photos", ["a.jpg", "b.jpg"], [(), ()])
    assert listing.multi_label
    assert listing[1].target == ()
    assert listing.class_counts(3).tolist() == [0, 0, 0]


def test_class_counts() -> None:
    assert Listing.of("", ["a", "b", "c"], [2, 0, 2]).class_counts(4).tolist() == [1, 0, 2, 0]
    assert Listing.of("", ["a", "b", "c"], [(2, 0), (), (2,)]).class_counts(4).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_hundred_thousand_samples_are_small_in_memory_and_as_a_pickle(multi_label: bool) -> None:
    keys = [f"train/a class name of usual length/IMG_{i:08d}_original.jpeg" for i in range(100_000)]
    targets = [(i % 80, 80, 81) if multi_label else i % 80 for i in range(100_000)]
    listing = Listing.of("/data/photographs", keys, targets)
    assert listing.nbytes <= 100 * len(listing)
    assert len(pickle.dumps(listing)) <= 100 * len(listing) + 1000
    again = pickle.loads(pickle.dumps(listing))
    assert again[99_999] == listing[99_999] == Sample(f"/data/photographs/{keys[-1]}", targets[-1], keys[-1])


def test_a_listing_holds_no_python_objects_that_workers_would_touch() -> None:
    listing = Listing.of("", ["a", "b"], [0, 1])
    arrays = [value for value in vars(listing).values() if not isinstance(value, str)]
    assert all(isinstance(value, (np.ndarray, Rows)) for value in arrays)
    assert all(
        array.dtype != object
        for rows in arrays
        for array in ([rows] if isinstance(rows, np.ndarray) else vars(rows).values())
    )


def test_past_the_end_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        Listing.of("", ["a"], [0])[1]


def test_a_file_name_that_is_not_utf8_is_named() -> None:
    with pytest.raises(DataError, match=r"photos: the file name 'caf\\udce9.jpg' is not UTF-8"):
        Listing.of("photos", ["caf\udce9.jpg"], [0])
