"""A table as bars: a group of bars a row, a colour a column, the spread as a line, goals as ticks and misses in words.

Colours are those of the reports; text is of a grey that reads on light and on dark pages.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

import altair as alt

from benchmarks.cells import number
from benchmarks.figures import Figure
from resnet_tl.report.charts import BLUE, GREY, RED, SERIES, AnyChart, Values

WIDTH, BAR = 520, 15
TEXT = "#767676"
UNITS = {"images/s": "images a second", "": "number"}
TIMES = {"lower": "ours divided by the other's: less is better", "higher": "of the other's: more is better"}


def svg(figures: Sequence[Figure]) -> str:
    """One chart; the comment at its end tells whether it is of the present figures, see `digest`."""
    text = io.StringIO()
    chart(figures).save(text, format="svg")
    return f"{text.getvalue()}\n<!-- figures {digest(figures)} -->\n"


def digest(figures: Sequence[Figure]) -> str:
    """Of the figures, not of the drawing, which differs a little between versions of Vega and the fonts there are."""
    return hashlib.sha256(json.dumps([asdict(figure) for figure in figures]).encode()).hexdigest()[:16]


def chart(figures: Sequence[Figure]) -> AnyChart:
    rows, columns = (list(dict.fromkeys(_plain(name) for name in names)) for names in _names(figures))
    base = alt.Chart(alt.Data(values=_values(figures)))
    y = alt.Y("row:N", title=None, sort=rows, axis=alt.Axis(labelLimit=330))
    offset = alt.YOffset("column:N", sort=columns)
    scale = alt.Scale(domain=columns, range=[BLUE, *SERIES[1:]][: len(columns)])
    legend = alt.Legend(orient="top", columns=2, labelLimit=330) if len(columns) > 1 else None
    x = alt.X("value:Q", title=_title(figures), axis=alt.Axis(tickCount=6))
    bars = base.mark_bar(opacity=0.75).encode(
        y=y, yOffset=offset, x=x, color=alt.Color("column:N", title=None, sort=columns, scale=scale, legend=legend)
    )
    spread = base.transform_filter("isValid(datum.low)").mark_rule(color=TEXT, strokeWidth=1.5)
    goals = base.transform_filter("isValid(datum.goal)").mark_tick(color=TEXT, thickness=2, size=BAR)
    words = base.mark_text(align="left", dx=5, fontSize=10)
    layers = [
        bars,
        spread.encode(y=y, yOffset=offset, x="low:Q", x2="high:Q"),
        goals.encode(y=y, yOffset=offset, x="goal:Q"),
        words.encode(
            y=y, yOffset=offset, x="end:Q", text="text:N",
            color=alt.condition("datum.missed", alt.value(RED), alt.value(TEXT)),
        ),
    ]  # fmt: skip
    if figures[0].unit == "×":
        layers.append(
            alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(color=GREY, strokeDash=[4, 4]).encode(x="one:Q")
        )
    height = len(rows) * (BAR * len(columns) + 8)
    return _on_any_page(alt.layer(*layers).properties(width=WIDTH, height=height))


def _names(figures: Sequence[Figure]) -> tuple[list[str], list[str]]:
    return [figure.row for figure in figures], [figure.column for figure in figures]


def _values(figures: Sequence[Figure]) -> Values:
    return [
        {
            "row": _plain(figure.row), "column": _plain(figure.column), "value": figure.value, "goal": figure.goal,
            "low": figure.low, "high": figure.high, "missed": figure.missed,
            "end": max(figure.value, figure.high or 0, figure.goal or 0),
            "text": number(figure) + (", goal missed" if figure.missed else ""),
        }
        for figure in figures
    ]  # fmt: skip


def _title(figures: Sequence[Figure]) -> str:
    first = figures[0]
    marks = [TIMES[first.better] if first.unit == "×" else UNITS.get(first.unit, first.unit)]
    marks += ["tick: goal"] if any(figure.goal is not None for figure in figures) else []
    marks += ["line: spread"] if any(figure.low is not None for figure in figures) else []
    return "; ".join(marks)


def _plain(label: str) -> str:
    return label.replace("`", "")


def _on_any_page(chart: AnyChart) -> AnyChart:
    chart = chart.configure(background="transparent").configure_view(stroke=None)
    chart = chart.configure_axis(labelColor=TEXT, titleColor=TEXT, gridColor=f"{GREY}40", domainColor=GREY)
    return chart.configure_legend(labelColor=TEXT)
