"""Splits that keep groups together: images of one patient, video or burst are in one split."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np

from resnet_tl.data.listings.faults import refuse_or_keep
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import RecipeError

PARENT = "parent"


class Column(NamedTuple):
    """A column of a table: its heading, and what it says about each key."""

    heading: str
    by_key: Mapping[str, str]


Rule: TypeAlias = str | Column
"""What names the groups: `parent`, the folder that an image lies in; a column; or a regular expression over the key, by
its part in parentheses, or the whole match where it has none."""


def group_names(listing: Listing, rule: Rule) -> list[str]:
    """Returns the name of each sample's group.

    Raises:
        RecipeError: not a regular expression, or one that some key does not match.
    """
    keys = listing.keys()
    if isinstance(rule, Column):
        return [rule.by_key[key] for key in keys]
    return [posixpath.dirname(key) for key in keys] if rule == PARENT else _matches(keys, rule)


def assign_groups(listing: Listing, rule: Rule, shares: Sequence[float], seed: int) -> np.ndarray:
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


def check_apart(splits: Mapping[str, Listing], rule: Rule) -> None:
    """Raises DataError where a group is in two splits; kept faults name its images in the second of them."""
    names = {split: group_names(listing, rule) for split, listing in splits.items()}
    for one, other in combinations([split for split in ("train", "val", "test") if split in splits], 2):
        known = dict(zip(names[one], splits[one].keys(), strict=True))
        shared = {key: name for key, name in zip(splits[other].keys(), names[other], strict=True) if name in known}
        if shared:
            examples = {name: key for key, name in shared.items()}
            name, count = min(examples), len(examples)
            column = rule.heading if isinstance(rule, Column) else rule
            groups = f"{count} groups are" if count > 1 else "1 group is"
            cure = "exclude skips some of them" if other == "test" else "folds splits the set again, by groups"
            refuse_or_keep(
                f"data.group is {column!r}, but {groups} both in {one} and in {other}, as {known[name]} and "
                f"{examples[name]}; data.{cure}",
                {
                    f"{splits[other].root}/{key}: is of group {name!r} in {other}, as {known[name]} in {one}": key
                    for key, name in shared.items()
                },
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
