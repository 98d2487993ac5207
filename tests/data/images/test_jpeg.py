"""JPEG headers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from resnet_tl.data.images import jpeg


def test_the_size_and_the_end(encoded: Callable[..., bytes]) -> None:
    data = encoded(np.zeros((30, 40, 3), np.uint8), "JPEG")
    assert jpeg.frame_size(data) == (30, 40)
    assert jpeg.ends(data)
    assert jpeg.ends(data + b"what cameras append")
    assert not jpeg.ends(data[:-2])
    assert jpeg.segment(data, jpeg.FRAMES) < jpeg.segment(data, jpeg.SCAN)
    assert jpeg.frame_size(data[: jpeg.segment(data, jpeg.FRAMES) + 6]) is None
