"""A few images of each class: enough, no more than needed, and the same on any machine."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.splits import few_shots

CLASSES = ["cat", "dog", "emu"]


def keys(count: int) -> list[str]:
    return [f"{i}.jpg" for i in range(count)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 5))
def test_so_many_of_each_class_or_all_there_are(targets: list[int], shots: int, seed: int) -> None:
    listing = Listing.of("photos", keys(len(targets)), targets)
    few, note = few_shots(listing, shots, CLASSES, seed)
    counts, expected = few.class_counts(3), np.minimum(listing.class_counts(3), shots)
    assert counts.tolist() == expected.tolist()
    assert note.startswith(f"data.shots: {shots} trains on {len(few)} of {len(targets)} images")
    for name, count in zip(CLASSES, counts, strict=True):
        assert (f"{name} ({count})" in note) == (0 < count < shots)
    order = list(reversed(range(len(targets))))
    other, _ = few_shots(listing.select(np.array(order)), shots, CLASSES, seed)
    assert sorted(other.keys()) == sorted(few.keys()), "the listing's order changes nothing"
    assert few.keys() == sorted(few.keys(), key=listing.keys().index), "it is kept"


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=40), st.integers(1, 6))
def test_several_classes_each_have_so_many_images(targets: list[set[int]], shots: int) -> None:
    listing = Listing.of("photos", keys(len(targets)), [sorted(each) for each in targets])
    few, _ = few_shots(listing, shots, CLASSES, 0)
    assert (few.class_counts(3) >= np.minimum(listing.class_counts(3), shots)).all()
    assert len(few) <= 3 * shots
    assert all(len(sample.target) for sample in few)  # type: ignore[arg-type]


def test_another_seed_takes_others_and_more_shots_keep_the_first() -> None:
    listing = Listing.of("photos", keys(90), [i % 3 for i in range(90)])
    chosen = {
        (shots, seed): set(few_shots(listing, shots, CLASSES, seed)[0].keys()) for shots in (2, 5) for seed in (0, 1)
    }
    assert chosen[2, 0] < chosen[5, 0]
    assert chosen[5, 0] != chosen[5, 1]
