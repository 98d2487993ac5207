"""Captioned images in rows, to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from resnet_tl.fonts import draw_text, text_width

WIDTH = 1600
"""Pixels of a sheet's width, without its margin."""
GAP, LINE, FONT = 12, 24, 15


class Tile(NamedTuple):
    image: Image.Image
    caption: str


def sheet(tiles: Sequence[Tile], across: int, legend: Sequence[tuple[str, tuple[int, ...]]] = ()) -> Image.Image:
    """Places tiles row by row, each scaled to the width of its column, with its caption below, and a legend at the end.

    legend: names with their RGB colours.
    """
    side = (WIDTH - GAP) // across - GAP
    scaled = [Tile(_fitted(image, side), caption) for image, caption in tiles]
    rows = [scaled[start : start + across] for start in range(0, len(scaled), across)]
    heights = [max(tile.image.height for tile in row) + LINE + GAP for row in rows]
    key = list(_placed(legend))
    bottom = key[-1][1] + LINE + GAP if key else 0
    drawn = Image.new("RGB", (GAP + min(across, len(tiles)) * (side + GAP), GAP + sum(heights) + bottom), "white")
    canvas, top = ImageDraw.Draw(drawn), GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (image, caption) in enumerate(row):
            left = GAP + column * (side + GAP)
            drawn.paste(image, (left, top + height - LINE - GAP - image.height))
            draw_text(canvas, (left, top + height - LINE - GAP + 3), _cut(caption, side), "black", FONT)
        top += height
    for (left, down), (name, colour) in zip(key, legend, strict=True):
        canvas.rectangle((left, top + down + 2, left + FONT, top + down + 2 + FONT), fill=colour, outline="grey")
        draw_text(canvas, (left + FONT + 5, top + down), name, "black", FONT)
    return drawn


def _placed(legend: Sequence[tuple[str, object]]) -> Iterator[tuple[int, int]]:
    """Yields (left, top) of each entry of a legend, in lines of the sheet's width."""
    left, top = GAP, 0
    for name, _ in legend:
        width = FONT + 5 + round(text_width(name, FONT)) + 2 * GAP
        if left + width > WIDTH and left > GAP:
            left, top = GAP, top + LINE
        yield left, top
        left += width


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Scales an image to a width of `side`, or a height of it where it is taller; small ones by whole pixels."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale > 4 else Image.Resampling.BICUBIC)


def _cut(text: str, width: int) -> str:
    """Shortens a caption that is wider than `width` pixels, in its middle."""
    while text_width(text, FONT) > width and len(text) > 5:
        middle = len(text) // 2
        text = f"{text[: middle - 2]}…{text[middle + 2 :]}"
    return text
