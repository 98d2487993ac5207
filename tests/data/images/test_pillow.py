"""Pillow under the limits of all images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.limits import PIXELS, TooLarge
from resnet_tl.data.images.pillow import exif_orientation, open_image


def test_pillow_reads_up_to_our_limit(encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(np.zeros((30, 40), np.uint8), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with open_image(data, "a.png") as image:
        assert image.size == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # a user's own choice is kept
    with open_image(data, "a.png"):
        assert Image.MAX_IMAGE_PIXELS is None
    monkeypatch.setenv(PIXELS.variable, "1199")
    with pytest.raises(TooLarge, match=r"^a\.png: is 40 x 30 pixels"):
        open_image(data, "a.png")


def test_an_orientation_that_cannot_be_read_is_upright(encoded: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(np.zeros((30, 40), np.uint8), "JPEG", exif=exif)
    assert exif_orientation(data, "a.jpg") == 6
    assert exif_orientation(b"no image", "a.jpg") == 1
    exif[274] = 77
    assert exif_orientation(encoded(np.zeros((30, 40), np.uint8), "JPEG", exif=exif), "a.jpg") == 1
