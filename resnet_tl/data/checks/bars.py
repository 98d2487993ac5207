"""Counts as a picture of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from resnet_tl.fonts import draw_text, text_width

WIDTH, LINE, MARGIN = 900, 22, 24
BAR, FONT, TITLE = 14, 13, 17
MOST = 40
"""Rows of a panel; the smallest of more are added up."""
COLOURS = ("#00796b", "#f2a33a", "#7e57c2")
"""Of the series: train, val, test."""
INK, FAINT = "#222222", "#777777"


class Panel(NamedTuple):
    """A title, and rows of counts: row -> series -> count."""

    title: str
    rows: Mapping[str, Mapping[str, int]]


def draw_bars(panels: Sequence[Panel]) -> Image.Image:
    """Draws the panels below each other: a bar for each row, divided by series, with its total."""
    panels = [Panel(title, _largest(rows)) for title, rows in panels]
    image = Image.new("RGB", (WIDTH, MARGIN + sum(map(_height, panels))), "white")
    canvas, top = ImageDraw.Draw(image), MARGIN
    for panel in panels:
        _draw(canvas, panel, top)
        top += _height(panel)
    return image


def _draw(canvas: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
    draw_text(canvas, (MARGIN, top), panel.title, INK, TITLE)
    series = list(dict.fromkeys(name for counts in panel.rows.values() for name in counts))
    colours = dict(zip(series, COLOURS, strict=False))
    right = WIDTH - MARGIN
    for name in reversed(series if len(series) > 1 else []):
        right -= round(text_width(name, FONT))
        draw_text(canvas, (right, top + 3), name, FAINT, FONT)
        right -= BAR + 4
        canvas.rectangle((right, top + 5, right + 10, top + 15), fill=colours[name])
        right -= 14
    start = MARGIN + min(260, round(max((text_width(name, FONT) for name in panel.rows), default=0)) + 12)
    most = max((sum(counts.values()) for counts in panel.rows.values()), default=0)
    room = WIDTH - MARGIN - start - round(text_width(f"{most:,}", FONT)) - 8
    for number, (name, counts) in enumerate(panel.rows.items()):
        y, x = top + TITLE + 14 + number * LINE, float(start)
        draw_text(canvas, (start - 8, y), name[:36], INK, FONT, "ra")
        for split, count in counts.items():
            end = x + room * count / max(most, 1)
            if count:
                canvas.rectangle((x, y + 1, max(end, x + 1), y + 1 + BAR), fill=colours[split])
            x = end
        draw_text(canvas, (x + 6, y), f"{sum(counts.values()):,}", FAINT, FONT)


def _height(panel: Panel) -> int:
    return TITLE + 14 + len(panel.rows) * LINE + MARGIN


def _largest(rows: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Returns the rows; of more than `MOST` the largest, and the sum of the rest."""
    if len(rows) <= MOST:
        return dict(rows)
    names = sorted(rows, key=lambda name: -sum(rows[name].values()))
    rest = [rows[name] for name in names[MOST - 1 :]]
    added = {split: sum(counts.get(split, 0) for counts in rest) for split in rest[0]}
    return {**{name: rows[name] for name in names[: MOST - 1]}, f"{len(rest)} more": added}
