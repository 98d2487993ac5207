"""The form of the tables about an evaluation, which `validate`, `test` and reports show and write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from resnet_tl.metrics.names import metric_name
from resnet_tl.metrics.per_class import Row, Tables

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
    low, high = interval or (math.nan, math.nan)
    numbers = {"value": value, "low": low, "high": high}
    known = {key: None if math.isnan(number) else float(number) for key, number in numbers.items()}
    return {"metric": metric, "name": metric_name(metric), **known}


def assembled(summary: list[Row], counted: Tables, classes: Sequence[str]) -> dict[str, list[Row]]:
    """Returns `summary` with the tables that metrics have counted."""
    matrix = {"confusion": confusion(classes, counted["confusion"])} if "confusion" in counted else {}
    return {"summary": summary, "per_class": counted["per_class"], **matrix}


def confusion(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[Row]:
    """Returns the rows of a matrix of true (rows) and predicted (columns) classes."""
    return [{CORNER: true, **dict(zip(names, row, strict=True))} for true, row in zip(names, counts, strict=True)]


CORNER = "true / predicted"
"""The heading above the true classes; no folder can be called so."""
