"""Tables of an evaluation as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnet_tl.errors import printable

Row = Mapping[str, Any]

LONGEST, WIDEST = 20, 10
"""Rows of a table, and classes of a matrix at most."""


def texts(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yields the lines of all tables; the last one names those that are too long."""
    left_out = []
    for name, rows in tables.items():
        if len(rows) > (WIDEST if name == "confusion" else LONGEST):
            left_out.append(f"{name} ({len(rows)} rows)")
            continue
        shown = rows if name == "confusion" else map(_score if name == "summary" else _with_intervals, rows)
        yield from ("", *_lines(list(shown)))
    if left_out:
        yield from ("", f"not shown, but written by --tables DIR: {', '.join(left_out)}")


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yields a line of headings, and one for each row: the first column on the left, the others on the right."""
    columns = [[printable(name), *(_text(row[name]) for row in rows)] for name in rows[0]]
    widths = [max(map(len, column)) for column in columns]
    for first, *others in zip(*columns, strict=True):
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *padded]).rstrip()


def _score(row: Row) -> Row:
    return {"score": row["name"], "value": row["value"], "95 % interval": _interval(row["low"], row["high"])}


def _with_intervals(row: Row) -> Row:
    """Scores share a cell with their intervals."""
    scores = {name for name in row if f"{name}_low" in row}
    ends = {f"{name}_{end}" for name in scores for end in ("low", "high")}
    cells = {name: value for name, value in row.items() if name not in ends}
    for name in scores:
        interval = _interval(row[f"{name}_low"], row[f"{name}_high"])
        cells[name] = f"{_text(row[name])} ({interval})" if interval else row[name]
    return {name.replace("_", " "): value for name, value in cells.items()}


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{_text(low)} to {_text(high)}"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return printable(value)
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
