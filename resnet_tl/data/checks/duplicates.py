"""Images that are there more than once, to the byte or to the eye: within a split, across splits, with other labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from resnet_tl.data.checks.images import Look, is_flat
from resnet_tl.data.listings.finding import Finding

NEAR_BITS = 10
"""Perceptual hashes that differ in so few of 64 bits are looked at more closely."""
NEAR_CORRELATION = 0.92
"""Thumbnails of near-duplicates correlate at least so much."""
BLOCK = 2048


def duplicates(looks: Sequence[Look], labels: Mapping[str, str]) -> Iterator[Finding]:
    """Of each group of files with equal bytes all but the first, and the first, too, where labels differ.

    labels: key -> what the image shows, where that is one label (classification), or its numbers.
    """
    groups: dict[bytes, list[Look]] = defaultdict(list)
    for look in looks:
        groups[look.digest].append(look)
    for group in groups.values():
        first, *others = group
        yield from _findings("duplicate", "is the same file as", first, others, labels)


def near_duplicates(looks: Sequence[Look], labels: Mapping[str, str]) -> Iterator[Finding]:
    """Images that look like an earlier one, each with the most similar of these, one of another split first; equal
    files are left to `duplicates`."""
    twins: dict[int, int] = {}
    for one, other in _near_pairs(looks):
        leak = looks[one].split != looks[other].split
        if other not in twins or (leak and looks[twins[other]].split == looks[other].split):
            twins[other] = one
    for other, one in sorted(twins.items()):
        yield from _findings("near-duplicate", "looks like", looks[one], [looks[other]], labels)


def _findings(
    kind: str, relation: str, first: Look, others: Sequence[Look], labels: Mapping[str, str]
) -> Iterator[Finding]:
    """Yields a finding about each later image; where the label of one differs, one about the first, too, as either may
    be wrong."""
    for other in others:
        yield _finding(kind, relation, first, other, labels)
    disputed = [other for other in others if labels.get(other.key) != labels.get(first.key)]
    for other in disputed[:1]:
        yield _finding(kind, relation, other, first, labels)


def _finding(kind: str, relation: str, first: Look, other: Look, labels: Mapping[str, str]) -> Finding:
    """Returns what is found about `other`."""
    if first.split != other.split:
        kind = f"{kind} across splits"
    if labels.get(first.key) != labels.get(other.key):
        kind = f"{kind} with another label"
    text = f"{relation} {first.path}" + (f" of {first.split}" if first.split != other.split else "")
    if "label" in kind:
        text += f", which is {labels[first.key]!r}, not {labels[other.key]!r}"
    harmless = kind == "near-duplicate"  # a video in one split is one
    return Finding(kind, other.split, other.path, text, exclude="" if harmless else other.key)


def _near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Indices (earlier, later) of near-duplicates, the most similar first; flat images are no one's duplicate."""
    if len(looks) < 2:
        return []
    hashes = np.array([look.perceptual for look in looks], np.uint64)
    thumbnails = np.stack([look.thumbnail.ravel().astype(np.float32) for look in looks])
    thumbnails -= thumbnails.mean(1, keepdims=True)
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True) + 1e-9
    flat = np.array([is_flat(look) for look in looks])
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(looks), BLOCK):
        rows = slice(start, start + BLOCK)
        for begin in range(start, len(looks), BLOCK):
            columns = slice(begin, begin + BLOCK)
            close = _bits(hashes[rows, None] ^ hashes[None, columns]) <= NEAR_BITS
            one, other = np.nonzero(close)
            one, other = one + start, other + begin
            earlier = (one < other) & ~flat[one] & ~flat[other]
            one, other = one[earlier], other[earlier]
            alike = np.einsum("ij,ij->i", thumbnails[one], thumbnails[other])
            near = alike >= NEAR_CORRELATION
            found += zip(alike[near].tolist(), one[near].tolist(), other[near].tolist(), strict=True)
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(one, other) for _, one, other in found if looks[one].digest != looks[other].digest]


def _bits(values: np.ndarray) -> np.ndarray:
    """The number of ones in each uint64 (as numpy 2's `bitwise_count`)."""
    values = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    values = (values & np.uint64(0x3333333333333333)) + ((values >> np.uint64(2)) & np.uint64(0x3333333333333333))
    values = (values + (values >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (values * np.uint64(0x0101010101010101)) >> np.uint64(56)
