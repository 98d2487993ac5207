"""Precision, recall and F1 of each class, and tables of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Ratios(NamedTuple):
    """`[K]` each; what would be 0/0 is NaN."""

    precision: Floats
    recall: Floats
    f1: Floats

    @classmethod
    def of(cls, right: Counts, said: Counts, true: Counts) -> Ratios:
        """From `[K]` counts of images of a class: said and true, said, true."""
        return cls(_quotient(right, said), _quotient(right, true), _quotient(2 * right, said + true))

    def macro_f1(self) -> float:
        """Over the classes that occur among truths or answers."""
        return mean_of_known(self.f1)


def mean_of_known(values: Floats) -> float:
    """Without the NaNs; NaN when there is nothing else."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def rows(classes: list[str], **columns: NDArray[Any]) -> list[dict[str, Any]]:
    """One dict a class of plain Python values, None for NaN."""
    return [
        {"class": name, **{column: _plain(values[k]) for column, values in columns.items()}}
        for k, name in enumerate(classes)
    ]


def _plain(value: Any) -> int | float | None:
    return None if np.isnan(value) else value.item()


def _quotient(above: Counts, below: Counts) -> Floats:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
