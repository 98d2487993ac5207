"""JPEG headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images import jpeg


def test_the_size_and_the_end(encoded: Callable[..., bytes]) -> None:
    data = encoded(np.zeros((30, 40, 3), np.uint8), "JPEG")
    assert jpeg.frame_size(data) == (30, 40)
    assert jpeg.ends(data)
    assert jpeg.ends(data + b"what cameras append")
    assert not jpeg.ends(data[:-2])
    assert jpeg.segment(data, jpeg.FRAMES) < jpeg.segment(data, jpeg.SCAN)
    assert jpeg.frame_size(data[: jpeg.segment(data, jpeg.FRAMES) + 6]) is None


@pytest.mark.parametrize(
    ("mode", "options", "common"),
    [
        ("RGB", {}, True),
        ("L", {}, True),
        ("RGB", {"progressive": True}, True),
        ("RGB", {"keep_rgb": True}, False),
        ("CMYK", {}, False),
    ],
)
def test_kinds_that_every_decoder_knows(
    encoded: Callable[..., bytes], mode: str, options: dict[str, Any], common: bool
) -> None:
    data = encoded(Image.new(mode, (40, 30)), "JPEG", **options)
    assert jpeg.is_common(data) is common
    frame = jpeg.segment(data, jpeg.FRAMES)
    arithmetic, deep = bytearray(data), bytearray(data)
    arithmetic[frame + 1], deep[frame + 4] = 0xC9, 12
    assert not jpeg.is_common(bytes(arithmetic))
    assert not jpeg.is_common(bytes(deep))
    assert not jpeg.is_common(data[: frame + 8])
