"""Text in the cells of CSV files that people open in spreadsheets."""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Apostrophes before it count too, so that removing one restores every text."""


def text_cell(text: str, safe: bool) -> str:
    """Returns the text of a cell. Spreadsheets take one that begins with =, +, - or @ (or a tab) for a formula: `safe`
    puts an apostrophe before it, which they do not show."""
    return f"'{text}" if safe and FORMULA.match(text) else text


def plain_text(cell: str) -> str:
    """Returns the text of which `text_cell` has made a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
