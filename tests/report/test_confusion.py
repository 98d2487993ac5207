"""How a page's room for pictures is shared."""

from __future__ import annotations

import pytest

from resnet_tl.report.confusion import shared_out


@pytest.mark.parametrize(("in_a_cell", "in_all", "expected"), [(12, 180, 180), (2, 180, 80), (12, 20, 20)])
def test_a_page_holds_so_many_pictures_and_no_more(in_a_cell: int, in_all: int, expected: int) -> None:
    cells = {(0, k): list(range(100)) for k in range(40)}
    shown = [len(indices) for indices in shared_out(list(cells), cells, in_a_cell, in_all).values()]
    assert sum(shown) == expected
    assert max(shown) - min(shown) <= 1
    assert shown == sorted(shown, reverse=True), "the first cells come first"
