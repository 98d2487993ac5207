"""Classes that a split lacks or hardly has, images without labels in one split alone, names that differ in little."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.listings.rows import Rows

FEW = 5
"""Training images (or objects) of a class that are hardly enough to learn it from."""
FEWER = 5.0
"""Images without labels are named where their share of a split is this many times that of another split, ..."""
MANY = 0.1
"""... and at least so much of the split."""


def class_findings(
    counts: Mapping[str, np.ndarray], classes: Sequence[str], counted: str, few: int = FEW
) -> Iterator[Finding]:
    """At most one for each class.

    Args:
        counts: `[K]` of each split: how much there is of each class.
        counted: what is counted: `images`, `objects`, `pixels`.
        few: fewer of them in training are named.
    """
    for index, name in enumerate(classes):
        there = {split: int(count[index]) for split, count in counts.items()}
        first = "train" if "train" in there else next(iter(there))
        missing = [split for split, count in there.items() if not count]
        if missing:
            yield Finding("empty class", missing[0], name, f"has no {counted} in {' and '.join(missing)}{_rest(there)}")
        if 0 < there[first] < few:
            what = counted if there[first] > 1 else counted[:-1]
            yield Finding("small class", first, name, f"has {there[first]} {what} in {first}")


def similar_names(classes: Sequence[str]) -> Iterator[Finding]:
    """Class names that differ by case, spaces or underscores alone."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[" ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())].append(name)
    for first, *others in alike.values():
        for other in others:
            yield Finding("similar class names", "", other, f"differs from {first!r} by case, spaces or _ alone")


def unlabelled_images(listings: Mapping[str, Listing]) -> Iterator[Finding]:
    """Images without any label or object, where another split hardly has such images: their labels may be lost."""
    empty = {
        split: np.flatnonzero(listing.targets.lengths == 0)
        for split, listing in listings.items()
        if isinstance(listing.targets, Rows)
    }
    shares = {split: len(indices) / len(listings[split]) for split, indices in empty.items()}
    for split, indices in empty.items():
        other = min(shares, key=shares.__getitem__)
        if len(indices) > 2 and shares[split] >= MANY and shares[split] > FEWER * shares[other]:
            text = f"has no labels, as {shares[split]:.0%} of {split}, but only {shares[other]:.0%} of {other}"
            for index in indices.tolist():
                yield Finding("gap in labels", split, listings[split][index].path, text)


def _rest(there: Mapping[str, int]) -> str:
    rest = [f"{count} in {split}" for split, count in there.items() if count]
    return f" ({', '.join(rest)})" if rest else ""
