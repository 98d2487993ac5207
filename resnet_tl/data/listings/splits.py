"""Splitting a listing for validation: stratified by class, a function of (keys, targets, seed) and not of the order."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from resnet_tl.data.listings.groups import Rule, assign_groups, check_apart
from resnet_tl.data.listings.listing import Listing, ListingT
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError, RecipeError

TRAIN = -1
"""The fold of a sample that is trained on in every fold."""


def split_listings(
    source_splits: Mapping[str, ListingT],
    *,
    fraction: float,
    folds: int | None,
    fold: int,
    seed: int,
    group: Rule | None = None,
) -> dict[str, ListingT]:
    """Returns the listings to train, validate and test on, from the splits of a source (some of train, val, test).

    With `folds`, train and val are joined and split again, and `fold` is validated on; otherwise `fraction` of train is
    where there is no val. A split that is empty or absent is not made up. With `group` (see `group_names`) no group is
    on both sides.
    """
    if folds is None and fold:
        raise RecipeError(f"data.fold is {fold}, but there are no data.folds; expected their number")
    splits = dict(source_splits)
    if "train" in source_splits and ("val" not in source_splits or folds is not None):
        splits |= _split(source_splits, fraction, folds, fold, seed, group)
    splits = {name: listing for name, listing in splits.items() if len(listing)}
    if group is not None:
        check_apart(splits, group)
    return splits


def _split(
    source_splits: Mapping[str, ListingT],
    fraction: float,
    folds: int | None,
    fold: int,
    seed: int,
    group: Rule | None,
) -> dict[str, ListingT]:
    """Returns `train` and `val`, either of which may be empty."""
    pool: Listing = source_splits["train"]
    if "val" in source_splits:
        both = sorted({*pool.keys()}.intersection(source_splits["val"].keys()))
        if both:
            raise DataError(
                f"{pool.root}: {both[0]} is in both train and val (shared images: {len(both):,}); for folds, take each "
                "out of one of them"
            )
        pool = pool.join(source_splits["val"])
    if folds is None:
        in_val = holdout(pool, fraction, seed, group)
    elif 2 <= folds <= len(pool) and 0 <= fold < folds:
        in_val = _assigned(pool, folds, seed, group) == fold
    else:
        raise RecipeError(
            f"data.folds is {folds} and data.fold {fold}; expected 2 to {len(pool)} folds (as many as images), "
            f"and a fold from 0 to folds - 1"
        )
    if not in_val.any():
        raise DataError(
            f"{pool.root} has too few images to validate on some of them ({len(pool)}, and no class has two): add "
            "images, or a split of your own, train/ and val/"
        )
    # A listing's join and select return listings of its own class.
    train, val = (cast(ListingT, pool.select(np.flatnonzero(chosen))) for chosen in (~in_val, in_val))
    return {"train": train, "val": val}


def _assigned(pool: Listing, folds: int, seed: int, group: Rule | None) -> np.ndarray:
    """Returns the fold that validates on each sample. Raises RecipeError where one has none to validate on."""
    assigned = assign_folds(pool, folds, seed, group)
    filled = len(np.unique(assigned[assigned != TRAIN]))
    if filled < folds:
        why = "it has no more groups" if group is not None else "a class's only image is never validated on"
        raise RecipeError(f"data.folds is {folds}, but {pool.root} has images for {filled} folds only: {why}")
    return assigned


def holdout(listing: Listing, fraction: float, seed: int, group: Rule | None = None) -> np.ndarray:
    """Returns which samples to validate on: `[N]` bool, about `fraction` (0...1) of every class.

    A class of two or more images has at least one on each side; a single image is trained on. Multi-label images are
    split by iterative stratification, which can miss this for a class that hardly ever occurs alone.
    """
    if fraction == 1.0:
        return np.ones(len(listing), bool)
    if group is not None:
        return assign_groups(listing, group, [fraction, 1 - fraction], seed) == 0
    if isinstance(listing.targets, Rows):
        return _iterative(listing.targets, np.array([fraction, 1 - fraction]), _shuffled(listing, seed)) == 0
    order, rank, size = _by_class(listing.targets, _shuffled(listing, seed))
    count = np.clip(np.floor(size * fraction + 0.5), 1, np.maximum(size - 1, 1))
    chosen = np.empty(len(listing), bool)
    chosen[order] = (rank < count) & (size > 1)
    return chosen


def assign_folds(listing: Listing, count: int, seed: int, group: Rule | None = None) -> np.ndarray:
    """Returns the fold that validates on each sample: `[N]` in 0...count-1, or `TRAIN` for a class's single image.

    The sizes of folds differ by at most one image, and by at most one of each class (multi-label and with
    groups: approximately).
    """
    if group is not None:
        return assign_groups(listing, group, [1 / count] * count, seed)
    if isinstance(listing.targets, Rows):
        return _iterative(listing.targets, np.full(count, 1 / count), _shuffled(listing, seed))
    order, _, size = _by_class(listing.targets, _shuffled(listing, seed))
    folds = np.full(len(listing), TRAIN)
    several = order[size > 1]
    folds[several] = np.arange(len(several)) % count
    return folds


def write_split(path: str | Path, listings: Mapping[str, Listing], classes: list[str]) -> None:
    """Writes one line per image: key, class (`a|b` for several, or numbers), split; sorted by key."""
    rows = sorted(
        (key, listing.label_text(i, classes), split)
        for split, listing in listings.items()
        for i, key in enumerate(listing.keys())
    )
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "class", "split"), *rows])


def split_sizes(path: Path) -> Counter[str]:
    """Returns how many images each split of a file of `write_split` has."""
    with open(path, newline="", encoding="utf-8") as file:
        return Counter(row["split"] for row in csv.DictReader(file))


def _shuffled(listing: Listing, seed: int) -> np.ndarray:
    """Returns indices in the order of their keys' hashes, which adding or removing other images does not change."""

    def digest(key: str) -> bytes:
        return hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()

    return np.argsort(np.frombuffer(b"".join(map(digest, listing.keys())), np.dtype("<u8")), kind="stable")


def _by_class(targets: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `order` sorted by class, the rank of each within its class, and the size of its class, all `[N]`."""
    order = order[np.argsort(targets[order], kind="stable")]
    _, firsts, inverse, sizes = np.unique(targets[order], return_index=True, return_inverse=True, return_counts=True)
    return order, np.arange(len(order)) - firsts[inverse], sizes[inverse]


def _iterative(targets: Rows, shares: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns the subset `[N]` of each sample, by iterative stratification (Sechidis et al., 2011, algorithm 1).

    The rarest remaining class is distributed first, each of its samples to the subset that still lacks most of that
    class, then most samples. targets: class indices of each sample. shares `[P]`: of each subset. order `[N]`: in which
    samples are distributed.
    """
    counts = np.bincount(targets.values)
    lacking = counts[:, None] * shares
    lacking[counts > 1] = np.maximum(lacking[counts > 1], 1)
    room = len(targets) * shares
    subsets = np.full(len(targets), TRAIN)
    owner = np.repeat(np.arange(len(targets)), targets.lengths)
    while True:
        left = np.bincount(targets.values[subsets[owner] == TRAIN], minlength=len(counts))
        if not left.any():
            break
        rarest = int(np.argmin(np.where(left > 0, left, left.max() + 1)))
        members = np.zeros(len(targets), bool)
        members[owner[targets.values == rarest]] = True
        for i in order[members[order] & (subsets[order] == TRAIN)]:
            subset = int(np.lexsort((room, lacking[rarest]))[-1])
            subsets[i] = subset
            lacking[targets[i], subset] -= 1
            room[subset] -= 1
    for i in order[subsets[order] == TRAIN]:  # samples without a class
        subsets[i] = subset = int(np.argmax(room))
        room[subset] -= 1
    return subsets


def few_shots(
    listing: ListingT, shots: int, classes: list[str], seed: int, option: str = "data.shots"
) -> tuple[ListingT, str]:
    """Returns images of which at least `shots` show each class, or all that do, and a sentence about them.

    Images are looked through in a random order, a function of their keys and `seed`, and one is taken if it shows a
    class that fewer than `shots` images taken before it show: with one class for each image, exactly `shots` of each.
    An image without a class is never taken. Masks are read until every class has enough.

    option: by which `shots` are set.

    Raises:
        DataError: a mask that cannot be read.
    """
    counts, taken = np.zeros(len(classes), np.int64), []
    for index in _shuffled(listing, seed).tolist():
        shown = listing.classes_of(index)
        if (counts[shown] < shots).any():
            counts[shown] += 1
            taken.append(index)
        elif (counts >= shots).all():
            break
    short = [f"{classes[i]} ({counts[i]})" for i in np.flatnonzero((counts > 0) & (counts < shots)).tolist()]
    fewer = f"; there are fewer of {', '.join(short[:5])}{', ...' if len(short) > 5 else ''}" if short else ""
    note = f"{option}: {shots} trains on {len(taken)} of {len(listing)} images{fewer}"
    return cast(ListingT, listing.select(np.sort(np.array(taken, np.int64)))), note
