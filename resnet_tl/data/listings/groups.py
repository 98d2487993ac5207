"""Splits that keep groups together: images of one patient, video or burst are in one split."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from resnet_tl.data.listings.faults import faults_are_kept
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError, RecipeError

PARENT = "parent"


def group_names(listing: Listing, rule: str) -> list[str]:
    """Returns the name of each sample's group.

    Args:
        rule: `parent`: the folder that the image lies in; else a regular expression over the key (the path below the
            root), whose groups in parentheses name the group, or the whole match where it has none.

    Raises:
        RecipeError: not a regular expression, or one that some key does not match.
    """
    keys = listing.keys()
    return [posixpath.dirname(key) for key in keys] if rule == PARENT else _matches(keys, rule)


def assign_groups(listing: Listing, rule: str, shares: Sequence[float], seed: int) -> np.ndarray:
    """Returns the part `[N]` of each sample, of `len(shares)` parts; no group is in two. `rule`: see `group_names`.

    Greedy, as scikit-learn's StratifiedGroupKFold: the groups whose classes are the most uneven come first, each to the
    part that then has the most even share of every class. Groups of equal counts are in the order of a seeded hash of
    their names, so that other images change little.
    """
    names, groups = np.unique(np.array(group_names(listing, rule)), return_inverse=True)
    counts = _class_counts(listing, groups)
    order = np.lexsort((_hashes(names.tolist(), seed), -counts.std(1)))
    expected = counts.sum(0)[None] * np.asarray(shares)[:, None]
    filled = np.zeros_like(expected)
    parts = np.zeros(len(counts), np.int64)
    for group in order:
        after = filled[None] + np.eye(len(shares))[:, :, None] * counts[group]  # [parts to choose, parts, classes]
        error = (((after - expected) / np.maximum(expected, 1)) ** 2).sum((1, 2))
        parts[group] = chosen = int(np.argmin(error))
        filled[chosen] += counts[group]
    return parts[groups]


class SharedGroup(NamedTuple):
    """A group with images in two splits, and an image of each, by its key."""

    name: str
    split: str
    key: str
    other: str
    other_key: str


def shared_groups(splits: Mapping[str, Listing], rule: str) -> Iterator[SharedGroup]:
    """Yields the groups that are in two of a set's own splits, by name. `rule`: see `group_names`."""
    names = {
        split: dict(zip(group_names(listing, rule), listing.keys(), strict=True)) for split, listing in splits.items()
    }
    for one, other in combinations(names, 2):
        for name in sorted(names[one].keys() & names[other].keys()):
            yield SharedGroup(name, one, names[one][name], other, names[other][name])


def check_apart(splits: Mapping[str, Listing], rule: str) -> None:
    """Raises DataError where a group is in two of a set's own splits, unless faults are kept."""
    shared = list(shared_groups(splits, rule))
    if shared and not faults_are_kept():
        first = shared[0]
        of_both = sum(each.split == first.split and each.other == first.other for each in shared)
        groups = f"{of_both} groups are" if of_both > 1 else "1 group is"
        raise DataError(
            f"data.group is {rule!r}, but {groups} both in {first.split} and in {first.other}, as {first.key} and "
            f"{first.other_key}; data.folds splits the set again, by groups"
        )


def _matches(keys: Sequence[str], rule: str) -> list[str]:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise RecipeError(f"data.group is {rule!r}, neither a regular expression ({error}) nor 'parent'") from None
    names = []
    for key in keys:
        match = pattern.search(key)
        if match is None:
            raise RecipeError(
                f"data.group is {rule!r}, which does not match {key!r}; expected every image to have a group"
            )
        names.append("/".join(part or "" for part in match.groups()) if match.groups() else match.group())
    return names


def _class_counts(listing: Listing, groups: np.ndarray) -> np.ndarray:
    """`[G, K]` float: how often each group shows each class; one column where nothing is known of classes."""
    targets = listing.targets
    values = targets.values if isinstance(targets, Rows) else targets
    owner = np.repeat(groups, targets.lengths) if isinstance(targets, Rows) else groups
    counts = np.zeros((int(groups.max()) + 1, int(values.max(initial=0)) + 1))
    np.add.at(counts, (owner, values), 1)
    return np.concatenate([counts, np.bincount(groups)[:, None]], 1)  # images without a class have a size, too


def _hashes(names: Sequence[str], seed: int) -> np.ndarray:
    key = str(seed).encode()
    digests = [hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names]
    return np.frombuffer(b"".join(digests), np.dtype("<u8"))
