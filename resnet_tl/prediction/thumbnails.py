"""Small pictures of image files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_tl.data.images.decode import decode_bytes, jpeg_size, read_bytes
from resnet_tl.prediction.drawing import to_rgb

SIDE = 240
"""Pixels of the short side of a picture of a whole image."""
TINY = 96
"""Pixels of the short side up to which smaller images are enlarged."""


def read_small(path: str, channels: int) -> npt.NDArray[np.uint8]:
    """Reads an image as `[H, W, 3]`; a JPEG at a reduced size if its short side keeps `SIDE` pixels.

    Raises:
        DataError: it cannot be read.
    """
    data = read_bytes(path)
    short = min(jpeg_size(data) or (0, 0))
    reduce = next((each for each in (8, 4, 2) if short // each >= SIDE), 1)
    return to_rgb(decode_bytes(data, path, channels, reduce))


def small(image: Image.Image) -> Image.Image:
    """Reduces an image to a short side of `SIDE` pixels; enlarges a tiny one by a whole factor, unsmoothed."""
    short = min(image.size)
    factor = SIDE / short if short > SIDE else max(1, TINY // short)
    size = round(image.width * factor), round(image.height * factor)
    if factor == 1:
        return image
    return image.resize(size, Image.Resampling.BICUBIC if factor < 1 else Image.Resampling.NEAREST)
