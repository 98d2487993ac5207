"""Cells that spreadsheets would take for formulas."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from resnet_tl.csv_text import plain_text, text_cell


def test_names_that_begin_as_formulas_do_get_an_apostrophe() -> None:
    for text in ("=1+1", "+1", "-cat", "@SUM(A1)", "\tcat", "\rcat", "'=x", "''=x"):
        assert text_cell(text, True) == f"'{text}"
        assert text_cell(text, False) == text
    for text in ("", "cat", "a=b", "'quoted'", "1", "0.5"):
        assert text_cell(text, True) == text


@example("'=x")
@given(st.text("'=+-@ab\t", max_size=5))
def test_every_text_is_read_back(text: str) -> None:
    assert plain_text(text_cell(text, True)) == text
