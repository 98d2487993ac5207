"""Whole images, resized as the validation of masks and boxes resizes them."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.data.images.resize import resize
from resnet_tl.prediction.whole_image import WholeImage
from resnet_tl.structures.records import Preprocessing


@pytest.mark.parametrize(
    ("shape", "size", "longest", "expected"),
    [
        ((40, 60), 20, None, (20, 30)),
        ((60, 40), 20, None, (30, 20)),
        ((40, 120), 20, 45, (15, 45)),
        ((40, 60), 0, None, (40, 60)),
        ((1, 300), 20, 30, (1, 30)),
    ],
)
def test_the_short_side_and_the_long_side_are_limited(
    shape: tuple[int, int], size: int, longest: int | None, expected: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    transform = WholeImage(Preprocessing(size=size, max_size=longest, interpolation="bicubic"))
    (view,) = transform(image, shape, (0,))
    assert view.shape == (*expected, 3)
    assert (view == resize(image, *expected, "bicubic")).all()
    assert transform.reduction(shape, (0,)) == 1
