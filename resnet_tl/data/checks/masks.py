"""Masks without any class, and ignored pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from resnet_tl.data.checks.classes import class_findings
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

MOSTLY = 0.5
"""Share of a split's pixels that are ignored, to be named."""


class Masked(Protocol):
    def __len__(self) -> int: ...

    def mask(self, index: int) -> np.ndarray: ...


def mask_findings(listings: Mapping[str, Listing], classes: Sequence[str]) -> Iterator[Finding]:
    """Every mask is read once. Without masks there are no findings."""
    counted: dict[str, np.ndarray] = {}
    for split, listing in listings.items():
        if not hasattr(listing, "mask"):
            return
        counts = np.zeros(256, np.int64)
        with ThreadPoolExecutor() as pool:
            for index, pixels in enumerate(pool.map(lambda i, masked=listing: _pixels(masked, i), range(len(listing)))):
                sample = listing[index]
                path = sample.target if isinstance(sample.target, str) else sample.path
                if isinstance(pixels, str):
                    yield Finding("unreadable mask", split, path, pixels.removeprefix(f"{path}: "), sample.key)
                elif pixels[IGNORE] == pixels.sum():
                    yield Finding("ignored mask", split, path, "is ignored everywhere", sample.key)
                else:
                    counts += pixels
        counted[split] = counts[: len(classes)]
        ignored = counts[IGNORE] / max(counts.sum(), 1)
        if ignored > MOSTLY:
            yield Finding("ignored pixels", split, split, f"{ignored:.0%} of the masks' pixels are ignored")
    yield from class_findings(counted, classes, "pixels")


def _pixels(masked: Masked, index: int) -> np.ndarray | str:
    try:
        return np.bincount(masked.mask(index).ravel(), minlength=256)
    except DataError as error:
        return str(error)
