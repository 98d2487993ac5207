"""Precision, recall and F1 by class, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

Row: TypeAlias = "dict[str, str | int | float | None]"
"""A row of a table by class."""


class Tables(TypedDict, total=False):
    """per_class: a row for each class. confusion: counts `[K][K]` of true (rows) and predicted (columns) classes."""

    per_class: list[Row]
    confusion: list[list[int]]


class Ratios(NamedTuple):
    """`[K]` each; NaN where it would be 0/0."""

    precision: Floats
    recall: Floats
    f1: Floats

    @classmethod
    def of(cls, correct: Counts, predicted: Counts, targets: Counts) -> Ratios:
        """From the number of images `[K]` that were predicted correctly as a class, predicted as it, and have it."""
        return cls(quotient(correct, predicted), quotient(correct, targets), quotient(2 * correct, predicted + targets))

    def macro_f1(self, absent: Sequence[int] = ()) -> float:
        """Averages F1 over the classes that occur in targets or predictions and are not in `absent`."""
        return nanmean(without(self.f1, absent))


def old_and_new(table: list[Row], headline: str, new: Sequence[str]) -> dict[str, float]:
    """Returns the headline's means over the old and over the new classes with images: `acc_old` and `acc_new`.

    Args:
        table: by class, with the column that the headline is of.
        headline: `acc`, `map` or `miou`.
        new: names of the new classes.
    """
    column = {"acc": "recall", "miou": "iou", "map": "ap" if "ap" in table[0] else "map"}[headline]
    groups: dict[str, list[float]] = {}
    for row in table:
        if (value := row[column]) is not None:
            groups.setdefault(f"{headline}_{'new' if row['class'] in new else 'old'}", []).append(float(value))
    return {name: sum(values) / len(values) for name, values in groups.items()}


def nanmean(values: Floats) -> float:
    """Returns the mean without NaNs, NaN if there is nothing else (numpy warns then)."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def column_means(values: Floats) -> Floats:
    """Returns the means `[R]` of `[K, R]` over the first dimension without NaNs, NaN if there is nothing else."""
    return quotient(np.nansum(values, 0), (~np.isnan(values)).sum(0))


def without(values: Floats, absent: Sequence[int]) -> Floats:
    """Returns values by class, `[K]` or `[K, R]`, with NaN for the classes in `absent`."""
    values = values.copy()
    values[list(absent)] = np.nan
    return values


def rows(classes: list[str], kind: str = "class", /, **columns: NDArray[Any]) -> list[Row]:
    """Builds one dict per class (or of another kind) from columns `[K]`, of plain Python values, None for NaN."""
    return [
        {kind: name, **{column: plain(values[k]) for column, values in columns.items()}}
        for k, name in enumerate(classes)
    ]


def quotient(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Divides arrays of one shape; NaN where it would be 0/0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def plain(value: np.generic) -> int | float | None:
    """Returns a plain number, None for NaN."""
    return None if np.isnan(value) else value.item()
