"""Classes that a split lacks or hardly has, and names that differ in little."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing

FEW = 5
"""Training images (or objects) of a class that are hardly enough to learn it from."""


def class_findings(listings: Mapping[str, Listing], classes: Sequence[str], what: str) -> Iterator[Finding]:
    """what: what is counted, `images` or `objects`."""
    for split, listing in listings.items():
        for name, count in zip(classes, listing.class_counts(len(classes)).tolist(), strict=True):
            if count == 0:
                yield Finding("empty class", split, name, f"has no {what} in {split}")
            elif split == "train" and count < FEW:
                yield Finding("small class", split, name, f"has {count} {what if count > 1 else what[:-1]} in {split}")
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[" ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())].append(name)
    for first, *others in alike.values():
        for other in others:
            yield Finding("similar class names", "", other, f"differs from {first!r} by case, spaces or _ alone")
