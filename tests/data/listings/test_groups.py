"""Groups are never on both sides of a split, and classes stay in proportion as far as groups allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_tl.data.classification import ImageTable
from resnet_tl.data.detection import BoxTable
from resnet_tl.data.listings.groups import assign_groups, group_names
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.splits import assign_folds, holdout, split_listings
from resnet_tl.errors import DataError, RecipeError


def bursts(count: int = 40, shots: int = 5) -> Listing:
    """`a/<burst>_<shot>.jpg`; every other burst shows class 1."""
    keys = [f"{'ab'[burst % 2]}/{burst:03d}_{shot}.jpg" for burst in range(count) for shot in range(shots)]
    return Listing.of("photos", keys, [burst % 2 for burst in range(count) for _ in range(shots)])


def test_no_burst_is_on_both_sides_over_five_folds() -> None:
    listing = bursts()
    folds = assign_folds(listing, 5, seed=0, group=r"/(\d+)_")
    names = np.array([sample.key[2:5] for sample in listing])
    assert all(len(set(folds[names == name])) == 1 for name in set(names))
    counts = np.array([[((folds == fold) & (listing.targets == k)).sum() for k in (0, 1)] for fold in range(5)])
    assert (counts == 20).all()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=2, max_size=80),
    st.floats(0.1, 0.9),
    st.integers(0, 3),
)
def test_a_group_is_in_one_part_alone(samples: list[tuple[int, int]], fraction: float, seed: int) -> None:
    listing = Listing.of("x", [f"{g}/{i}.jpg" for i, (g, _) in enumerate(samples)], [label for _, label in samples])
    chosen = holdout(listing, fraction, seed, "parent")
    for group in {group for group, _ in samples}:
        assert len({bool(c) for c, (g, _) in zip(chosen, samples, strict=True) if g == group}) == 1


def test_the_share_is_kept_where_groups_are_small() -> None:
    listing = bursts(200, 3)
    chosen = holdout(listing, 0.2, 1, r"/(\d+)_")
    for label in (0, 1):
        assert chosen[listing.targets == label].mean() == pytest.approx(0.2, abs=0.01)


def test_the_order_of_a_listing_changes_nothing() -> None:
    listing = bursts()
    shuffled = np.random.default_rng(0).permutation(len(listing))
    one = {listing.key(int(i)) for i in np.flatnonzero(holdout(listing, 0.2, 0, r"/(\d+)_"))}
    other = listing.select(shuffled)
    assert one == {other.key(int(i)) for i in np.flatnonzero(holdout(other, 0.2, 0, r"/(\d+)_"))}


def test_several_labels_and_none() -> None:
    listing = Listing.of("x", [f"{i // 4}/{i}.jpg" for i in range(40)], [(0,) if i % 3 else (0, 1) for i in range(40)])
    parts = assign_groups(listing, "parent", [0.5, 0.5], seed=0)
    assert sorted(np.bincount(parts)) == [20, 20]


def test_groups_in_two_splits_of_the_set_itself_are_refused() -> None:
    listing = bursts()
    splits = {"train": listing.select(np.arange(8)), "val": listing.select(np.arange(8, 20))}
    with pytest.raises(DataError, match=r"1 group is both in train and in val, as b/001_2\.jpg and b/001_4\.jpg"):
        split_listings(splits, fraction=0.2, folds=None, fold=0, seed=0, group=r"/(\d+)_")
    again = split_listings(splits, fraction=0.2, folds=2, fold=0, seed=0, group=r"/(\d+)_")
    train, val = ({sample.key[2:5] for sample in again[split]} for split in ("train", "val"))
    assert train.isdisjoint(val)


@pytest.mark.parametrize(
    ("rule", "message"),
    [("(", "neither a regular expression"), (r"patient(\d+)", r"which does not match 'a/000_0\.jpg'")],
)
def test_wrong_rules_are_refused(rule: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        group_names(bursts(), rule)


def test_a_test_split_shares_no_group_with_images_that_are_split_here() -> None:
    listing = bursts()
    splits = {"test": listing.select(np.arange(8)), "train": listing.select(np.arange(8, 200))}
    with pytest.raises(DataError, match=r"1 group is both in .* and in test, as .*; data\.exclude"):
        split_listings(splits, fraction=0.2, folds=None, fold=0, seed=0, group=r"/(\d+)_")


@pytest.mark.parametrize("boxes", [False, True])
def test_a_column_of_a_table_names_the_groups(tmp_path: Path, boxes: bool) -> None:
    rows = ["path,label,patient,x1,y1,x2,y2"]
    for number in range(40):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},p{number // 5},1,1,9,9")
    table = tmp_path / "set.csv"
    table.write_text("\n".join(rows))
    kind = BoxTable if boxes else ImageTable
    data = kind(str(table), group="patient", val_fraction=0.25)
    train, val = (
        {int(key.removesuffix(".png")) // 5 for _, _, key in data.listings[name]} for name in ("train", "val")
    )
    assert train.isdisjoint(val)
    assert len(data.listings["val"]) == 10
    with pytest.raises(RecipeError, match=r"data\.group is 'patiant', which does not match '0\.png'"):
        kind(str(table), group="patiant")
    rows[3] = rows[3].replace("p0", "")
    table.write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"line 4.* has no group in"):
        kind(str(table), group="patient")
