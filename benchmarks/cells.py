"""A figure as the text of a table's cell: the value, its spread, its goal, and in words whether that was missed."""

from __future__ import annotations

from benchmarks.figures import Figure

UNNAMED = ("", "mAP", "images/s")
"""Units that the cells leave to the words around the table."""
MOST_DIGITS = 4
"""Decimals at most that tell a value from the goal that it misses."""


def cell(figure: Figure) -> str:
    """For example "**0.67 ×** (0.66–0.69; goal 0.60, missed)"."""
    digits = decimals(figure)
    notes = [] if figure.deviation is not None else _spread(figure, digits)
    if figure.goal is not None:
        notes.append(f"goal {_digits(figure.goal, digits)}{', missed' if figure.missed else ''}")
    value = f"**{number(figure)}**" if figure.missed else number(figure)
    return f"{value} ({'; '.join(notes)})" if notes else value


def number(figure: Figure) -> str:
    """The value with its unit, and its deviation over seeds."""
    digits = decimals(figure)
    deviation = "" if figure.deviation is None else f" ± {_digits(figure.deviation, digits)}"
    return f"{_digits(figure.value, digits)}{deviation}{'' if figure.unit in UNNAMED else f' {figure.unit}'}"


def decimals(figure: Figure) -> int:
    """As many as the unit needs, and more where a missed goal would look the same."""
    digits = _usual(figure.value, figure.unit)
    while figure.missed and digits < MOST_DIGITS and _digits(figure.value, digits) == _digits(figure.goal or 0, digits):
        digits += 1
    return digits


def _usual(value: float, unit: str) -> int:
    """%, points: 1. mAP: 3. Others: two significant digits from 2 on, two decimals below; whole numbers: none."""
    if unit in ("%", "points", "mAP"):
        return {"%": 1, "points": 1, "mAP": 3}[unit]
    if value == round(value) and unit != "×":
        return 0
    size = abs(value)
    if unit == "×":
        return 2 if size < 2 else 1 if size < 10 else 0
    return next((digits for limit, digits in ((0.01, 4), (0.1, 3), (1, 2), (100, 1)) if size < limit), 0)


def _spread(figure: Figure, digits: int) -> list[str]:
    if figure.low is None or figure.high is None:
        return []
    low, high = _digits(figure.low, digits), _digits(figure.high, digits)
    return [] if low == high else [f"{low}{' to ' if figure.low < 0 else '–'}{high}"]


def _digits(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # -0.0 is 0.0
