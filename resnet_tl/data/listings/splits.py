"""Parting a listing for validation: stratified by class, a function of (keys, targets, seed) and not of the order."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError, RecipeError

TRAIN = -1
"""In `assign_folds`: trained on in every fold."""


def split_listings(
    own: Mapping[str, Listing], *, fraction: float, folds: int | None, fold: int, seed: int
) -> dict[str, Listing]:
    """The listings to train on, validate on and test on, from a source's own splits (some of train, val, test).

    With `folds`, train and val are dealt out anew and part `fold` is validated on; else `fraction` of train is, where
    there is no val. Nothing is made up for a split that is empty or was never there.
    """
    if "train" not in own or ("val" in own and folds is None):
        return dict(own)
    pool = own["train"].join(own["val"]) if "val" in own else own["train"]
    if folds is None:
        chosen = holdout(pool, fraction, seed)
    elif 2 <= folds <= len(pool) and 0 <= fold < folds:
        chosen = assign_folds(pool, folds, seed) == fold
    else:
        raise RecipeError(
            f"data.folds is {folds} and data.fold {fold}; expected 2 to {len(pool)} folds (as many as images), "
            f"and a fold from 0 to folds - 1"
        )
    if not chosen.any():
        raise DataError(f"{pool.root} has too few images to validate on some of them ({len(pool)})")
    parts = {"train": pool.select(np.flatnonzero(~chosen)), "val": pool.select(np.flatnonzero(chosen))}
    return {name: listing for name, listing in {**own, **parts}.items() if len(listing)}


def holdout(listing: Listing, fraction: float, seed: int) -> np.ndarray:
    """Which samples to validate on: `[N]` bool, about `fraction` (0...1) of every class.

    A class of two images or more has one at least in each part; a single image is trained on. Multi-label images
    are dealt out by iterative stratification, where this can miss for a class that hardly occurs alone.
    """
    if fraction == 1.0:
        return np.ones(len(listing), bool)
    if isinstance(listing.targets, Rows):
        return _iterative(listing.targets, np.array([fraction, 1 - fraction]), _shuffled(listing, seed)) == 0
    order, rank, size = _by_class(listing.targets, _shuffled(listing, seed))
    wanted = np.clip(np.floor(size * fraction + 0.5), 1, np.maximum(size - 1, 1))
    chosen = np.empty(len(listing), bool)
    chosen[order] = (rank < wanted) & (size > 1)
    return chosen


def assign_folds(listing: Listing, count: int, seed: int) -> np.ndarray:
    """The fold in which each sample is validated: `[N]` in 0...count-1, or `TRAIN` for a class's single image.

    Folds differ by one image at most, and by one of each class (multi-label: about so).
    """
    if isinstance(listing.targets, Rows):
        return _iterative(listing.targets, np.full(count, 1 / count), _shuffled(listing, seed))
    order, _, size = _by_class(listing.targets, _shuffled(listing, seed))
    dealt = np.full(len(listing), TRAIN)
    several = order[size > 1]
    dealt[several] = np.arange(len(several)) % count
    return dealt


def write_split(path: str | Path, listings: Mapping[str, Listing], classes: list[str]) -> None:
    """One line an image: key, class (`a|b` for several), split; sorted by key."""
    rows = sorted(
        (key, "|".join(classes[index] for index in _indices(listing, i)), split)
        for split, listing in listings.items()
        for i, key in enumerate(listing.keys())
    )
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "class", "split"), *rows])


def _indices(listing: Listing, index: int) -> Iterable[int]:
    target = listing[index].target
    if isinstance(target, str):  # a mask shows many classes
        return ()
    return target if isinstance(target, tuple) else (target,)


def _shuffled(listing: Listing, seed: int) -> np.ndarray:
    """Indices in the order of their keys' hashes: an image keeps its place when others are added or removed."""

    def digest(key: str) -> bytes:
        return hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode()).digest()

    return np.argsort(np.frombuffer(b"".join(map(digest, listing.keys())), np.dtype("<u8")), kind="stable")


def _by_class(targets: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`order` sorted by class; the place of each within its class; the size of its class. All `[N]`."""
    order = order[np.argsort(targets[order], kind="stable")]
    _, firsts, inverse, sizes = np.unique(targets[order], return_index=True, return_inverse=True, return_counts=True)
    return order, np.arange(len(order)) - firsts[inverse], sizes[inverse]


def _iterative(targets: Rows, shares: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The part `[N]` of each sample, by iterative stratification (Sechidis et al., 2011, algorithm 1).

    The rarest class left is dealt out first, each of its samples to the part that still wants most of that class, then
    most samples. targets: class indices of each sample; shares `[P]`: of each part; order `[N]`: who comes first.
    """
    counts = np.bincount(targets.values)
    wanted = counts[:, None] * shares
    wanted[counts > 1] = np.maximum(wanted[counts > 1], 1)
    room = len(targets) * shares
    parts = np.full(len(targets), TRAIN)
    owner = np.repeat(np.arange(len(targets)), targets.lengths)
    while True:
        left = np.bincount(targets.values[parts[owner] == TRAIN], minlength=len(counts))
        if not left.any():
            break
        rarest = int(np.argmin(np.where(left > 0, left, left.max() + 1)))
        members = np.zeros(len(targets), bool)
        members[owner[targets.values == rarest]] = True
        for i in order[members[order] & (parts[order] == TRAIN)]:
            part = int(np.lexsort((room, wanted[rarest]))[-1])
            parts[i] = part
            wanted[targets[i], part] -= 1
            room[part] -= 1
    for i in order[parts[order] == TRAIN]:
        parts[i] = part = int(np.argmax(room))
        room[part] -= 1
    return parts
