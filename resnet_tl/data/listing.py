"""Which pictures there are, in flat arrays: a list of Python objects would grow in every worker (Lightning #17257)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from resnet_tl.data.masks import Coding, Mask, read_mask
from resnet_tl.errors import DataError
from resnet_tl.records import Sample


@dataclass(frozen=True)
class PictureSet:
    """What a source found under `root` (a folder, a zip, a CSV): the classes and the listings of its own splits.

    splits: some of `train`, `val`, `test`; pictures that nobody has split are all `train`.
    notes: sentences about what was left out or assumed.
    """

    root: str
    classes: list[str]
    splits: dict[str, Listing]
    multi_label: bool = False
    notes: list[str] = field(default_factory=list)


class Listing:
    """N samples: `listing[i]` is a `Sample`. Costs the bytes of its key and 12 each (multi-label: 16 and 4 a class).

    A picture's key is its path below `root`, with `/`, and so the same on every machine; its path is `root/key`.
    """

    def __init__(self, root: str, keys: Rows, targets: np.ndarray | Rows) -> None:
        self.root = root
        self._keys = keys
        self.targets = targets
        """Class indices `[N]` int32, or one row of them a sample (multi-label)."""

    @classmethod
    def of(cls, root: str, keys: Sequence[str], targets: Sequence[int] | Sequence[Sequence[int]]) -> Listing:
        """From plain lists; `targets` holds class indices, or a sequence of them for each sample (multi-label).

        Raises:
            DataError: a file name is not UTF-8 (such keys would not be the same on every machine).
        """
        try:
            packed = Rows.of_text(keys)
        except UnicodeEncodeError as error:
            raise DataError(f"{root}: the file name {error.object!r} is not UTF-8; rename it") from None
        multi_label = len(targets) > 0 and not isinstance(targets[0], (int, np.integer))
        rows: Any = Rows.of(targets) if multi_label else np.asarray(targets, np.int32)  # type: ignore[arg-type]
        return cls(root, packed, rows)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        target = self.targets[index]
        key = self.key(index)
        plain = tuple(target.tolist()) if isinstance(self.targets, Rows) else int(target)  # type: ignore[arg-type]
        return Sample(os.path.join(self.root, key), plain, key)

    def __iter__(self) -> Iterator[Sample]:
        return map(self.__getitem__, range(len(self)))

    def key(self, index: int) -> str:
        return self._keys[index].tobytes().decode()

    def keys(self) -> list[str]:
        return [self.key(index) for index in range(len(self))]

    @property
    def multi_label(self) -> bool:
        return isinstance(self.targets, Rows)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, and of a pickle but for a few hundred."""
        return self._keys.nbytes + self.targets.nbytes

    def class_counts(self, classes: int) -> np.ndarray:
        """How many pictures show each of K classes: `[K]` int64."""
        flat = self.targets.values if isinstance(self.targets, Rows) else self.targets
        return np.bincount(flat, minlength=classes)

    def select(self, indices: np.ndarray) -> Listing:
        """The samples at `indices` (int64), in that order."""
        targets = self.targets
        return Listing(
            self.root,
            self._keys.select(indices),
            targets.select(indices) if isinstance(targets, Rows) else targets[indices],
        )

    def join(self, other: Listing) -> Listing:
        """The samples of both, which have the same root."""
        keys = self._keys.join(other._keys)
        if isinstance(self.targets, Rows) and isinstance(other.targets, Rows):
            return Listing(self.root, keys, self.targets.join(other.targets))
        return Listing(self.root, keys, np.concatenate([self.targets, other.targets]))  # type: ignore[arg-type]


class MaskListing(Listing):
    """Pictures with a mask file each, its path below `root`; a sample's target is the mask's path.

    Costs the bytes of both paths and 20 each. All pictures are one class to whoever parts them.
    """

    def __init__(self, root: str, keys: Rows, masks: Rows, coding: Coding) -> None:
        super().__init__(root, keys, np.zeros(len(keys), np.int32))
        self.masks, self.coding = masks, coding

    def __getitem__(self, index: int) -> Sample:
        key = self.key(index)
        mask = os.path.join(self.root, self.masks[index].tobytes().decode())
        return Sample(os.path.join(self.root, key), mask, key)

    def mask(self, index: int) -> Mask:
        return read_mask(str(self[index].target), self.coding)

    def meaning(self) -> dict[str, Any]:
        """What decides, beside the files, what a mask is, as plain Python."""
        return {"codes": self.coding.codes.tolist(), "by_colour": self.coding.by_colour}

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.masks.nbytes

    def select(self, indices: np.ndarray) -> MaskListing:
        return MaskListing(self.root, self._keys.select(indices), self.masks.select(indices), self.coding)

    def join(self, other: Listing) -> MaskListing:
        assert isinstance(other, MaskListing)
        return MaskListing(self.root, self._keys.join(other._keys), self.masks.join(other.masks), self.coding)


@dataclass(frozen=True)
class MaskSet(PictureSet):
    """Pictures whose pixels have classes; their listings give a `mask` by index.

    colours: `[K, 3]` uint8 RGB, in which masks are shown.
    pixels: `[K]` int64, of each class in the training masks (of a sample of them in a large set).
    """

    colours: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.uint8))
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Rows:
    """Rows of different lengths in two arrays: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Rows:
        return cls(np.fromiter(chain.from_iterable(rows), np.int32), _ends(rows))

    @classmethod
    def of_text(cls, texts: Sequence[str]) -> Rows:
        """One row of UTF-8 bytes each."""
        rows = [text.encode() for text in texts]
        return cls(np.frombuffer(b"".join(rows), np.uint8), _ends(rows))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.offsets.nbytes

    def select(self, indices: np.ndarray) -> Rows:
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Rows(self.values[ranges(self.offsets[indices], lengths)], offsets)

    def join(self, other: Rows) -> Rows:
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Rows(np.concatenate([self.values, other.values]), offsets)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`[starts[0], starts[0] + 1, ...]`, so many as `lengths[0]` says, then those from `starts[1]` on ..."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)


def _ends(rows: Sequence[Sequence[int]]) -> np.ndarray:
    return np.cumsum([0, *map(len, rows)], dtype=np.int64)
