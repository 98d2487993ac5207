"""Tables as text: those of an evaluation, and any other rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnet_tl.errors import printable

Row = Mapping[str, Any]

LONGEST, WIDEST = 20, 10
"""Rows of a table by class, and classes of a matrix at most."""


def texts(tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yields the lines of all tables; the last one names those that are too long."""
    left_out = []
    for name, rows in tables.items():
        if name != "summary" and len(rows) > (WIDEST if name == "confusion" else LONGEST):
            left_out.append(f"{name} ({len(rows)} rows)")
            continue
        shown = rows if name == "confusion" else map(_score if name == "summary" else _of_class, rows)
        yield from ("", *lines(list(shown)))
    if left_out:
        yield from ("", f"not shown, but written by --tables DIR: {', '.join(left_out)}")


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yields a line of headings, and one for each row: the first column on the left, the others on the right."""
    columns = [[printable(name), *(_text(row[name]) for row in rows)] for name in rows[0]]
    widths = [max(map(len, column)) for column in columns]
    for first, *others in zip(*columns, strict=True):
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *padded]).rstrip()


def _score(row: Row) -> Row:
    interval = "" if row["low"] is None else f"{_text(row['low'])} to {_text(row['high'])}"
    return {"score": row["name"], "value": row["value"], "95 % interval": interval}


def _of_class(row: Row) -> Row:
    """The scores of a class without their intervals, for which a terminal is too narrow."""
    ends = {f"{name}_{end}" for name in row for end in ("low", "high")}
    return {name.replace("_", " "): value for name, value in row.items() if name not in ends}


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return printable(value)
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
