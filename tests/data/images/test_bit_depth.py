"""Images of 8 and 16 bits in one batch."""

from __future__ import annotations

import numpy as np

from resnet_tl.data.images.bit_depth import to_common_depth


def test_8_bits_span_the_whole_range_of_16_bits_next_to_them() -> None:
    dark, bright = np.zeros((2, 3, 1), np.uint8), np.full((2, 3, 1), 255, np.uint8)
    deep = np.full((2, 3, 1), 1234, np.uint16)
    images = to_common_depth([dark, deep, bright])
    assert [image.dtype for image in images] == [np.uint16] * 3
    assert [int(image.max()) for image in images] == [0, 1234, 65535]


def test_equal_depths_are_left_alone() -> None:
    for dtype in (np.uint8, np.uint16):
        images = [np.ones((2, 2, 3), dtype)] * 2
        assert all(image is same for image, same in zip(to_common_depth(images), images, strict=True))
