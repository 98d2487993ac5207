"""Images with numbers, listed in flat arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.listings.listing import ImageSet, Listing, rows_of_paths
from resnet_tl.data.listings.rows import Rows
from resnet_tl.structures.records import Sample


class ValueListing(Listing):
    """Images with T numbers each. Each costs the bytes of its key, 12, and 4 per number.

    All images are of one class where a set is split.

    values: `[N, T]` float32, in their units.
    """

    def __init__(self, root: str, keys: Rows, values: NDArray[np.float32]) -> None:
        super().__init__(root, keys, np.zeros(len(keys), np.int32))
        self.values = values

    @classmethod
    def of_values(cls, root: str, keys: Sequence[str], values: Sequence[Sequence[float]]) -> ValueListing:
        """Packs paths and the numbers of each.

        Raises:
            DataError: a file name is not UTF-8.
        """
        return cls(root, rows_of_paths(root, keys), np.asarray(values, np.float32))

    def __getitem__(self, index: int) -> Sample:
        key = self.key(index)
        return Sample(os.path.join(self.root, key), tuple(self.values[index].tolist()), key)

    def label_text(self, index: int, classes: Sequence[str]) -> str:
        return "|".join(f"{value:.7g}" for value in self.values[index].tolist())

    def class_counts(self, classes: int) -> np.ndarray:
        """Returns how many images have each number: all of them, `[T]` int64."""
        return np.full(classes, len(self))

    def cache_key(self) -> dict[str, Any]:
        return {"values": blake2b(np.ascontiguousarray(self.values).tobytes(), digest_size=16).hexdigest()}

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.values.nbytes

    def select(self, indices: np.ndarray) -> ValueListing:
        return ValueListing(self.root, self._keys.select(indices), self.values[indices])

    def join(self, other: Listing) -> ValueListing:
        assert isinstance(other, ValueListing)
        return ValueListing(self.root, self._keys.join(other._keys), np.concatenate([self.values, other.values]))


@dataclass(frozen=True)
class ValueSet(ImageSet[ValueListing]):
    """Images with numbers; `classes` are the names of these."""
