"""Rows of different lengths in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Rows of different lengths in two arrays: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Rows:
        return cls(np.fromiter(chain.from_iterable(rows), np.int32), offsets_of(list(map(len, rows))))

    @classmethod
    def of_text(cls, texts: Sequence[str]) -> Rows:
        """Packs texts, each as a row of UTF-8 bytes."""
        rows = [text.encode() for text in texts]
        return cls(np.frombuffer(b"".join(rows), np.uint8), offsets_of(list(map(len, rows))))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def texts(self) -> list[str]:
        """Returns the rows that `of_text` packed."""
        content = self.values.tobytes()
        return [content[start:end].decode() for start, end in pairwise(self.offsets.tolist())]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.offsets.nbytes

    def select(self, indices: np.ndarray) -> Rows:
        lengths = self.lengths[indices]
        return Rows(self.values[ranges(self.offsets[indices], lengths)], offsets_of(lengths))

    def join(self, other: Rows) -> Rows:
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Rows(np.concatenate([self.values, other.values]), offsets)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenates `lengths[i]` numbers `starts[i], starts[i] + 1, ...` for each i: `[4, 9], [2, 1] -> [4, 5, 9]`."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)


def offsets_of(lengths: np.ndarray | Sequence[int]) -> np.ndarray:
    """Returns where rows of these `lengths` `[N]` begin and the last one ends: `[N + 1]` int64."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
