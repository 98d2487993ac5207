"""Pillow's reading of files, under the limits of all images."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from resnet_tl.data.images.limits import PIXELS, check_size
from resnet_tl.data.images.stored_size import stored_size

ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow raises for files that are not images, or damaged ones."""


def open_image(data: bytes, path: str, formats: Sequence[str] | None = None) -> ImageFile:
    """Opens the bytes of a file; its pixels are not decoded yet. Pillow's own limit, which is lower, is raised to ours.

    Raises:
        TooLarge: the header states more pixels than are decoded.
        One of `ERRORS`: it cannot be opened.
    """
    check_size(*(stored_size(data) or (0, 0)), path)
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, PIXELS.value)
    image = Image.open(io.BytesIO(data), formats=formats if formats is None else list(formats))
    check_size(image.height, image.width, path)
    return image


def exif_orientation(data: bytes, path: str) -> int:
    """Returns EXIF's orientation, 1 (upright) to 8; 1 where there is none."""
    try:
        with open_image(data, path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            return orientation if orientation in range(1, 9) else 1
    except ERRORS:
        return 1
