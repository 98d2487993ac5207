"""Which images go into which shard: decided before anything is written, so that a killed pack can go on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np

from resnet_tl.data.images.archive import open_archive, split_path
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.listings.listing import ImageSet, Listing
from resnet_tl.data.listings.masks import MaskListing
from resnet_tl.data.packing.resized import Shrink
from resnet_tl.errors import DataError

PROBED = 32
"""Images whose resized length is that of all, as far as one can know before."""
CHUNK = 1000


@dataclass(frozen=True)
class PlannedShard:
    """rows: indices in the listing of `split`, `[N]` int64, in the order of the shard. number: among the split's
    shards."""

    split: str
    number: int
    rows: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.split}/chunk-0-{self.number}.bin"


@dataclass(frozen=True)
class Plan:
    """digest: of all that decides what is in the shards."""

    shards: list[PlannedShard]
    digest: str


def plan_shards(images: ImageSet[Any], shard_bytes: int, shrink: Shrink | None) -> Plan:
    """Distributes the images of all splits over shards of about `shard_bytes`.

    Those of `train` are shuffled, so that a few shards are a random sample of them; `val` and `test` keep their order,
    in which they are evaluated.

    Raises:
        DataError: a file does not exist, or (of some that are read to know how small they become) is no image.
    """
    listings = {split: listing for split, listing in images.splits.items() if len(listing)}
    if not listings:
        raise DataError(f"{images.root}: has no images to pack")
    digest = blake2b(repr((shard_bytes, shrink)).encode(), digest_size=16)
    shards: list[PlannedShard] = []
    for split, listing in listings.items():
        files = [files_of(listing, index) for index in range(len(listing))]
        _check_relative(listing.root, chain.from_iterable(files))
        lengths = _lengths([path for each in files for _, path in each])
        sizes = np.array([sum(lengths[path] for _, path in each) for each in files], np.int64)
        digest.update(f"{split} {listing.digest(images.classes)}".encode() + sizes.tobytes())
        if shrink is not None:
            sizes = (sizes * _ratio(listing, sizes, shrink)).astype(np.int64)
        order = np.arange(len(listing))
        if split == "train":
            order = np.random.default_rng(0).permutation(order)
        before = np.cumsum(sizes[order]) - sizes[order]
        cuts = np.flatnonzero(np.diff(before // shard_bytes)) + 1
        shards += [PlannedShard(split, number, rows) for number, rows in enumerate(np.split(order, cuts))]
    return Plan(shards, digest.hexdigest())


def files_of(listing: Listing, index: int) -> list[tuple[str, str]]:
    """Returns the key and the path of an image and, where there is one, of its mask."""
    sample = listing[index]
    files = [(sample.key, sample.path)]
    if isinstance(listing, MaskListing):
        files.append((listing.masks[index].tobytes().decode(), str(sample.target)))
    return files


def _check_relative(root: str, files: Iterable[tuple[str, str]]) -> None:
    outside = [key for key, _ in files if key.startswith("/") or ".." in key.split("/")]
    if outside:
        raise DataError(
            f"{root}: {len(outside)} files lie outside of it (first {outside[0]}), and would have other keys on "
            "another machine; set data.root to a folder above all of them"
        )


def contents_of(listing: Listing, index: int, shrink: Shrink | None) -> list[bytes]:
    """Returns what is packed of `files_of` an image.

    Raises:
        DataError: a file cannot be read, or with `shrink` not decoded.
    """
    paths = [path for _, path in files_of(listing, index)]
    contents = [read_bytes(path) for path in paths]
    if shrink is None:
        return contents
    smaller = (shrink.image, shrink.mask)
    return [shrunk(content, path) for shrunk, content, path in zip(smaller, contents, paths, strict=False)]


def _ratio(listing: Listing, sizes: np.ndarray, shrink: Shrink) -> float:
    """Returns how long images are after the resize, as a share of what they were, from a sample of them."""
    probed = range(0, len(listing), max(1, len(listing) // PROBED))
    small = sum(len(content) for index in probed for content in contents_of(listing, index, shrink))
    return small / max(1, int(sizes[list(probed)].sum()))


def _lengths(paths: list[str]) -> Mapping[str, int]:
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
        found = chain.from_iterable(pool.map(lambda chunk: [_length(path) for path in chunk], chunks))
        return dict(zip(paths, found, strict=True))


def _length(path: str) -> int:
    inside = split_path(path)
    try:
        return open_archive(inside[0]).listed(inside[1])[0] if inside else os.stat(path).st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None
