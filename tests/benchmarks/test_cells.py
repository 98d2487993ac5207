from __future__ import annotations

import pytest

from benchmarks.cells import cell, number
from benchmarks.figures import Figure


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure("", "", "", 0.672, "×", 0.6, low=0.657, high=0.686), "**0.67 ×** (0.66–0.69; goal 0.60, missed)"),
        (Figure("", "", "", 0.313, "×", 0.33), "0.31 × (goal 0.33)"),
        (Figure("", "", "", 0.8454, "×", 0.85, "higher"), "**0.845 ×** (goal 0.850, missed)"),
        (Figure("", "", "", 184.6, "×", 1000, "higher"), "**185 ×** (goal 1,000, missed)"),
        (Figure("", "", "", 2.639, "×", low=2.571, high=2.707), "2.6 × (2.6–2.7)"),
        (Figure("", "", "", 83.268, "%", low=81.0, high=86.9, deviation=2.29), "83.3 ± 2.3 %"),
        (Figure("", "", "", 0.3885, "mAP"), "0.389"),
        (Figure("", "", "", 9574, ""), "9,574"),
        (Figure("", "", "", 0.0, ""), "0"),
        (Figure("", "", "", -0.04, "points", low=-0.2, high=0.01), "0.0 points (-0.2 to 0.0)"),
        (Figure("", "", "", 0.29036, ""), "0.29"),
        (Figure("", "", "", 1.4152, ""), "1.4"),
        (Figure("", "", "", 0.022826, "s"), "0.023 s"),
        (Figure("", "", "", 41.667, "images/s", low=40.8, high=41.9), "41.7 (40.8–41.9)"),
        (Figure("", "", "", 1234.5, "images/s"), "1,234"),
        (Figure("", "", "", 1.24, "points", low=-0.52, high=3), "1.2 points (-0.5 to 3.0)"),
    ],
)
def test_a_cell_has_value_spread_goal_and_whether_it_is_missed(figure: Figure, text: str) -> None:
    assert cell(figure) == text


def test_a_number_alone_has_no_goal() -> None:
    assert number(Figure("", "", "", 0.672, "×", 0.6, low=0.657, high=0.686)) == "0.67 ×"
