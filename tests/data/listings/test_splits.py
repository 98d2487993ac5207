"""Splits and folds: partitions, in proportion, the same for any order of the listing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.splits import TRAIN, assign_folds, holdout, split_listings, write_split
from resnet_tl.errors import DataError, RecipeError


def listing(targets: list[Any]) -> Listing:
    return Listing.of("photos", [f"{i:04d}.jpg" for i in range(len(targets))], targets)


def chosen_keys(of: Listing, chosen: np.ndarray) -> set[str]:
    return {of.key(int(i)) for i in np.flatnonzero(chosen)}


classes = st.lists(st.integers(0, 5), min_size=1, max_size=80)
several = st.lists(st.lists(st.integers(0, 5), max_size=3, unique=True).map(tuple), min_size=1, max_size=60)


@settings(deadline=None)
@given(classes, st.floats(0.01, 0.99), st.integers(0, 3))
def test_holdout_takes_the_share_of_every_class(targets: list[int], fraction: float, seed: int) -> None:
    chosen = holdout(listing(targets), fraction, seed)
    for index in set(targets):
        of_class = chosen[np.array(targets) == index]
        if len(of_class) == 1:
            assert not of_class.any()
        else:
            assert 1 <= of_class.sum() <= len(of_class) - 1
            assert abs(of_class.sum() - fraction * len(of_class)) <= 1


@settings(deadline=None)
@given(classes, st.integers(2, 6), st.integers(0, 3))
def test_folds_are_even_over_all_and_over_each_class(targets: list[int], count: int, seed: int) -> None:
    dealt = assign_folds(listing(targets), count, seed)
    sizes = np.bincount(dealt[dealt != TRAIN], minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for index in set(targets):
        of_class = dealt[np.array(targets) == index]
        if len(of_class) == 1:
            assert of_class == [TRAIN]
        else:
            sizes = np.bincount(of_class, minlength=count)
            assert sizes.max() - sizes.min() <= 1


@settings(deadline=None)
@given(st.one_of(classes, several), st.randoms(use_true_random=False))
def test_the_order_of_the_listing_changes_nothing(targets: list[Any], random: Any) -> None:
    ordered = listing(targets)
    order = list(range(len(targets)))
    random.shuffle(order)
    shuffled = ordered.select(np.array(order))
    assert chosen_keys(ordered, holdout(ordered, 0.3, 1)) == chosen_keys(shuffled, holdout(shuffled, 0.3, 1))
    for fold in range(3):
        assert chosen_keys(ordered, assign_folds(ordered, 3, 1) == fold) == chosen_keys(
            shuffled, assign_folds(shuffled, 3, 1) == fold
        )


def test_the_seed_changes_the_choice_and_a_new_image_hardly_does() -> None:
    many = listing([i % 4 for i in range(400)])
    first = chosen_keys(many, holdout(many, 0.2, 0))
    assert first == chosen_keys(many, holdout(many, 0.2, 0))
    assert len(first & chosen_keys(many, holdout(many, 0.2, 1))) < 40
    more = many.join(Listing.of("photos", ["new.jpg"], [0]))
    assert len(first - chosen_keys(more, holdout(more, 0.2, 0))) <= 1


@settings(deadline=None)
@given(several, st.integers(2, 5))
def test_multi_label_parts_are_a_partition_with_every_class_where_it_can_be(
    targets: list[tuple[int, ...]], count: int
) -> None:
    dealt = assign_folds(listing(targets), count, 0)
    assert ((dealt >= 0) & (dealt < count)).all()
    chosen = holdout(listing(targets), 0.3, 0)
    alone = [i for i, target in enumerate(targets) if len(target) == 1]
    for index in {index for target in targets for index in target}:
        shows = [index in target for target in targets]
        if sum(shows) >= 2 and all(i in alone for i in np.flatnonzero(shows)):
            assert 1 <= chosen[shows].sum() < sum(shows)


def test_multi_label_shares_are_kept_in_a_set_of_common_and_rare_classes() -> None:
    rng = np.random.default_rng(0)
    chances = np.array([0.6, 0.3, 0.1, 0.02])
    targets = [tuple(np.flatnonzero(rng.random(4) < chances).tolist()) for _ in range(1000)]
    chosen = holdout(listing(targets), 0.2, 0)
    assert abs(chosen.sum() - 200) <= 10
    for index in range(4):
        shows = np.array([index in target for target in targets])
        assert abs(chosen[shows].mean() - 0.2) < 0.06


def test_parts_of_a_source_without_splits_and_with() -> None:
    whole = listing([0, 1] * 50)
    options: dict[str, Any] = {"fraction": 0.2, "folds": None, "fold": 0, "seed": 0}
    parts = split_listings({"train": whole}, **options)
    assert [len(parts["train"]), len(parts["val"])] == [80, 20]
    assert sorted([*parts["train"].keys(), *parts["val"].keys()]) == whole.keys()
    own = {"train": parts["train"], "val": parts["val"], "test": whole}
    assert split_listings(own, **options) == own
    assert split_listings({"test": whole}, **options) == {"test": whole}
    assert list(split_listings({"train": whole}, **{**options, "fraction": 1.0})) == ["val"]


def test_folds_take_train_and_val_together_and_validate_on_everything_once() -> None:
    own = {"train": listing([0, 1] * 20), "val": Listing.of("photos", ["x.jpg", "y.jpg"], [0, 1])}
    validated = []
    for fold in range(4):
        parts = split_listings(own, fraction=0.2, folds=4, fold=fold, seed=0)
        assert len(parts["train"]) + len(parts["val"]) == 42
        assert not set(parts["train"].keys()) & set(parts["val"].keys())
        validated += parts["val"].keys()
    assert sorted(validated) == sorted([*own["train"].keys(), "x.jpg", "y.jpg"])


def test_folds_of_images_in_train_and_val_are_refused() -> None:
    own = {"train": listing([0, 1] * 5), "val": listing([0, 1])}
    with pytest.raises(DataError, match=r"0000\.jpg is in both train and val \(shared images: 2\)"):
        split_listings(own, fraction=0.2, folds=2, fold=0, seed=0)
    assert split_listings(own, fraction=0.2, folds=None, fold=0, seed=0) == own


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1), (11, 0)])
def test_folds_out_of_range_are_refused(folds: int, fold: int) -> None:
    with pytest.raises(RecipeError, match=f"data.folds is {folds} and data.fold {fold}; expected 2 to 10 folds"):
        split_listings({"train": listing([0, 1] * 5)}, fraction=0.2, folds=folds, fold=fold, seed=0)


def test_a_fold_of_no_folds_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^data\.fold is 3, but there are no data\.folds; expected their number"):
        split_listings({"train": listing([0, 1] * 5)}, fraction=0.2, folds=None, fold=3, seed=0)


def test_too_few_images_to_part_are_refused() -> None:
    with pytest.raises(DataError, match=r"too few images to validate .* \(2, and no class has two\): add images, or"):
        split_listings({"train": listing([0, 1])}, fraction=0.2, folds=None, fold=0, seed=0)


def test_written_split_names_every_image_once(tmp_path: Path) -> None:
    many = listing([(0, 2), (), (1,)])
    write_split(
        tmp_path / "split.csv",
        {"val": many.select(np.array([2])), "train": many.select(np.array([1, 0]))},
        ["a", "b", "c"],
    )
    with open(tmp_path / "split.csv", newline="") as file:
        assert list(csv.reader(file)) == [
            ["key", "class", "split"],
            ["0000.jpg", "a|c", "train"],
            ["0001.jpg", "", "train"],
            ["0002.jpg", "b", "val"],
        ]
