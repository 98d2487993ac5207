"""Counts as bars."""

from __future__ import annotations

import numpy as np
from PIL import ImageColor

from resnet_tl.data.checks.bars import COLOURS, MARGIN, MOST, WIDTH, Panel, draw_bars


def test_the_length_of_a_bar_is_its_count() -> None:
    image = draw_bars([Panel("Images", {"cat": {"train": 300, "val": 100}, "dog": {"train": 0, "val": 200}})])
    assert image.width == WIDTH
    pixels = np.asarray(image)
    lengths = [
        (pixels[MARGIN + 20 :] == ImageColor.getrgb(colour)).all(2).sum(1) for colour in COLOURS[:2]
    ]  # [series][line of pixels], below the legend
    train, val = (of_series[of_series > 0] for of_series in lengths)
    assert len(set(train.tolist())) == 1
    assert sorted(set((val / train[0] * 300).round(-1).tolist())) == [100, 200]


def test_many_rows_are_added_up_and_none_are_drawn() -> None:
    few = draw_bars([Panel("Images", {str(i): {"train": i} for i in range(MOST)})])
    many = draw_bars([Panel("Images", {str(i): {"train": i} for i in range(10 * MOST)})])
    assert many.size == few.size
    assert draw_bars([Panel("Images", {})]).height < few.height
