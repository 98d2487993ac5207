"""Tiles of a sheet: rows, captions, the legend."""

from __future__ import annotations

import numpy as np
from PIL import Image

from resnet_tl.prediction.contact_sheet import GAP, LINE, WIDTH, Tile, sheet


def tiles(count: int, size: tuple[int, int] = (10, 10)) -> list[Tile]:
    return [Tile(Image.new("RGB", size, "red"), "a caption that is much too long for its tile") for _ in range(count)]


def test_tiles_are_in_rows_of_a_width() -> None:
    drawn, one_row = sheet(tiles(5), 4), sheet(tiles(4), 4)
    side = (WIDTH - GAP) // 4 - GAP
    assert one_row.size == (GAP + 4 * (side + GAP), 2 * GAP + side + LINE)
    assert drawn.size == (one_row.width, one_row.height + side + LINE + GAP)
    pixels = np.asarray(drawn)
    assert (pixels[GAP : GAP + side, GAP : GAP + side] == [255, 0, 0]).all()
    assert (pixels[one_row.height :, 2 * GAP + side :] == 255).all()  # the second row has one tile


def test_the_legend_has_its_colours_below_the_tiles() -> None:
    without, drawn = sheet(tiles(1), 1), sheet(tiles(1), 1, [("sky", (1, 2, 3)), ("road", (4, 5, 6))])
    below = np.asarray(drawn)[without.height :].reshape(-1, 3).tolist()
    assert [1, 2, 3] in below
    assert [4, 5, 6] in below
