"""The form of the tables about an evaluation, which `validate`, `test` and reports show and write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from resnet_tl.metrics.bootstrap import Floats, percentiles
from resnet_tl.metrics.names import metric_name
from resnet_tl.metrics.per_class import Row, Tables, plain

Interval: TypeAlias = tuple[float, float]
"""(low, high), between which the middle 95 % of the resampled scores lie; NaN: unknown."""


class ScoreTables(NamedTuple):
    """Tables by name, and sentences about what their scores exclude.

    tables: each one becomes a CSV, in the order in which they are printed:
        `summary`: a row for each score, see `score`; the first is the one that runs are compared by.
        `per_class`: a row for each class; a column `x` may have its interval in `x_low` and `x_high`.
        `confusion`: a row for each true class, see `confusion`.
        None in a cell: unknown, as 0/0.
    """

    tables: dict[str, list[Row]]
    notes: list[str]

    @property
    def interval(self) -> Interval | None:
        """The interval of the score that runs are compared by."""
        low, high = (self.tables["summary"][0][name] for name in ("low", "high"))
        return (low, high) if isinstance(low, float) and isinstance(high, float) else None


def score(metric: str, value: float, interval: Interval | None = None) -> Row:
    """Returns a row of `summary`: the score's key, its name, value and 95 % interval."""
    low, high = _ends(interval or (math.nan, math.nan))
    return {"metric": metric, "name": metric_name(metric), "value": _known(value), "low": low, "high": high}


def assembled(summary: list[Row], counted: Tables, classes: Sequence[str]) -> dict[str, list[Row]]:
    """Returns `summary` with the tables that metrics have counted."""
    matrix = {"confusion": confusion(classes, counted["confusion"])} if "confusion" in counted else {}
    return {"summary": summary, "per_class": counted["per_class"], **matrix}


def with_columns(table: list[Row], columns: Mapping[str, NDArray[Any]]) -> list[Row]:
    """Returns a table by class with those of the columns `[K]` that it lacks."""
    return [
        {**row, **{name: plain(values[k]) for name, values in columns.items() if name not in row}}
        for k, row in enumerate(table)
    ]


def with_intervals(table: list[Row], resampled: Mapping[str, Floats]) -> list[Row]:
    """Returns a table by class in which `x_low` and `x_high` follow each column `x` whose scores in resamples of the
    images, `[K, R]`, are given."""
    return [
        _with_intervals(row, {name: values[k] for name, values in resampled.items()}) for k, row in enumerate(table)
    ]


def _with_intervals(row: Row, resampled: Mapping[str, Floats]) -> Row:
    cells: Row = {}
    for name, value in row.items():
        cells[name] = value
        if name in resampled:
            cells[f"{name}_low"], cells[f"{name}_high"] = _ends(percentiles(resampled[name]))
    return cells


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[Row]:
    """Returns the rows of a matrix of true (rows) and predicted (columns) classes."""
    return [{CORNER: true, **dict(zip(names, row, strict=True))} for true, row in zip(names, counts, strict=True)]


CORNER = "true / predicted"
"""The heading above the true classes; no folder can be called so."""


def named(classes: Sequence[str], indices: Sequence[int]) -> str:
    """Returns the names of some classes for a note, the first of many."""
    names = [classes[k] for k in indices]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


NOT_FINITE = "some outputs are NaN or infinite"

LISTED = 5
"""Classes that a note names."""


def _ends(interval: Interval) -> tuple[float | None, float | None]:
    """Returns both ends; None where all resampled scores are equal: they do not show how uncertain the score is."""
    low, high = interval
    return (None, None) if low == high else (_known(low), _known(high))


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
