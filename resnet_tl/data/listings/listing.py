"""The samples of a set in flat arrays: a list of Python objects would grow in every worker (Lightning #17257)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import numpy as np

from resnet_tl.data.listings.faults import raise_or_keep
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.rows import Rows
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Sample

ListingT = TypeVar("ListingT", bound="Listing")
SetT = TypeVar("SetT", bound="ImageSet[Any]")


@dataclass(frozen=True)
class ImageSet(Generic[ListingT]):
    """What a source found under `root` (a folder, a zip, a CSV): the classes, and a listing for each of its splits.

    splits: some of `train`, `val`, `test`; images without a split are all `train`.
    notes: sentences about what was skipped or assumed.
    faults: sentences about what training cannot use, each with the key of its image ("" where it is about no image);
        the splits do not hold it.
    remarks: what the notes count, one by one, with keys as of the faults.
    groups: the group of each key, where `data.group` is a column of a table; else empty.
    """

    root: str
    classes: list[str]
    splits: dict[str, ListingT]
    notes: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    remarks: Mapping[Finding, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> Sequence[int]:
        """Indices of the classes that no split shows."""
        counts = np.zeros(len(self.classes), np.int64)
        for listing in self.splits.values():
            counts += listing.class_counts(len(self.classes))
        return np.flatnonzero(counts == 0).tolist()

    def unseen_in(self, listing: ListingT) -> list[int]:
        """Returns the indices of the classes that no image of a listing shows, for notes."""
        return np.flatnonzero(listing.class_counts(len(self.classes)) == 0).tolist()

    def usable(self: SetT) -> SetT:
        """Raises DataError with all faults, if there are any; see also `kept_faults`."""
        raise_or_keep(self.root, self.faults)
        return self


@dataclass(frozen=True)
class ClassSet(ImageSet["Listing"]):
    """Images with classes.

    multi_label: whether an image has any number of classes, in place of one.
    replay: images of another folder that training on new classes replays; their targets are of `classes`.
    """

    multi_label: bool = False
    replay: Listing | None = None

    @property
    def absent(self) -> Sequence[int]:
        """Indices of the classes that neither a split nor a replayed image shows."""
        if self.replay is None:
            return super().absent
        replayed = self.replay.class_counts(len(self.classes))
        return [index for index in super().absent if replayed[index] == 0]


class Listing:
    """N samples: `listing[i]` is a `Sample`. Each costs the bytes of its key and 12 (multi-label: 16, and 4 per class).

    An image's key is its path below `root`, with `/`, so it is the same on every machine; its path is `root/key`.
    """

    def __init__(self, root: str, keys: Rows, targets: np.ndarray | Rows) -> None:
        self.root = root
        self._keys = keys
        self.targets = targets
        """Class indices `[N]` int32, or one row of them per sample (multi-label)."""

    @classmethod
    def of(cls, root: str, keys: Sequence[str], targets: Sequence[int] | Sequence[Sequence[int]]) -> Listing:
        """Packs lists; `targets` are class indices, or a sequence of them for each sample (multi-label).

        Raises:
            DataError: a file name is not UTF-8 (its key would not be the same on every machine).
        """
        packed = rows_of_paths(root, keys)
        multi_label = len(targets) > 0 and not isinstance(targets[0], (int, np.integer))
        rows: Any = Rows.of(targets) if multi_label else np.asarray(targets, np.int32)  # type: ignore[arg-type]
        return cls(root, packed, rows)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        key, targets = self.key(index), self.targets
        target = tuple(targets[index].tolist()) if isinstance(targets, Rows) else int(targets[index])
        return Sample(os.path.join(self.root, key), target, key)

    def __iter__(self) -> Iterator[Sample]:
        return map(self.__getitem__, range(len(self)))

    def classes_of(self, index: int) -> np.ndarray:
        """Returns the indices of the classes that an image shows."""
        return np.atleast_1d(self.targets[index])

    def key(self, index: int) -> str:
        return self._keys[index].tobytes().decode()

    def keys(self) -> list[str]:
        return self._keys.texts()

    def label_text(self, index: int, classes: Sequence[str]) -> str:
        """Returns what an image shows, for people: `cat`, or `cat|indoors`; nothing of objects and masks."""
        target = self[index].target
        shown = () if isinstance(target, str) else target if isinstance(target, tuple) else (target,)
        return "|".join(classes[int(each)] for each in shown)

    def cache_key(self) -> dict[str, Any]:
        """Returns what decides the targets besides the files and `targets`, as plain Python."""
        return {}

    def digest(self, classes: list[str]) -> str:
        """Returns 32 hex digits over classes, keys and targets, in their order, but not over the content of files."""
        digest = blake2b(json.dumps([classes, self.cache_key()]).encode(), digest_size=16)
        targets = [self.targets.values, self.targets.offsets] if isinstance(self.targets, Rows) else [self.targets]
        for values in (self._keys.values, self._keys.offsets, *targets):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @property
    def multi_label(self) -> bool:
        return isinstance(self.targets, Rows)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, and in a pickle up to a few hundred more."""
        return self._keys.nbytes + self.targets.nbytes

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns how many images show each of K classes: `[K]` int64."""
        flat = self.targets.values if isinstance(self.targets, Rows) else self.targets
        return np.bincount(flat, minlength=classes)

    def select(self, indices: np.ndarray) -> Listing:
        """Returns the samples at `indices` (int64), in that order."""
        targets = self.targets
        return Listing(
            self.root,
            self._keys.select(indices),
            targets.select(indices) if isinstance(targets, Rows) else targets[indices],
        )

    def join(self, other: Listing) -> Listing:
        """Returns the samples of both listings, which have the same root and are of the same class."""
        keys = self._keys.join(other._keys)
        if isinstance(self.targets, Rows):
            assert isinstance(other.targets, Rows)
            return Listing(self.root, keys, self.targets.join(other.targets))
        assert not isinstance(other.targets, Rows)
        return Listing(self.root, keys, np.concatenate([self.targets, other.targets]))


def rows_of_paths(root: str, paths: Sequence[str]) -> Rows:
    """Packs paths below `root`.

    Raises:
        DataError: a file name is not UTF-8 (its key would not be the same on every machine).
    """
    try:
        return Rows.of_text(paths)
    except UnicodeEncodeError as error:
        raise DataError(f"{root}: the file name {error.object!r} is not UTF-8; rename it") from None
