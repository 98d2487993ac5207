"""The size of an image and how its EXIF data turn it, from the file's header where that tells them."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import ExifTags, Image

from resnet_tl.data.images.decode import decode_bytes, jpeg_segment, jpeg_size, read_bytes

FIRST = 16384
"""Bytes in which most files say their size."""

SCAN = b"\xda"
"""The marker behind which a JPEG's header ends."""


class Header(NamedTuple):
    """height, width: upright, as the image is decoded. orientation: EXIF's, 1 (upright) to 8."""

    height: int
    width: int
    orientation: int


def read_header(path: str, channels: int = 3) -> Header:
    """Of a file, or of a member of a zip; one whose header does not tell is decoded.

    Raises:
        DataError: missing, or no image.
    """
    told = _told(read_bytes(path, FIRST))
    if told is None:
        data = read_bytes(path)
        told = _told(data) or _decoded(data, path, channels)
    return told


def read_size(path: str, channels: int = 3) -> tuple[int, int]:
    """(h, w) of an image after its EXIF rotation.

    Raises:
        DataError: missing, or no image.
    """
    header = read_header(path, channels)
    return header.height, header.width


def _told(data: bytes) -> Header | None:
    """What these first bytes tell; None of an unknown format, or where they are too few."""
    if data.startswith(b"\xff\xd8"):
        begins = jpeg_segment(data, SCAN)
        size = jpeg_size(data) if begins > 0 else None
        return size and Header(*size, _orientation(data) if b"Exif\0" in data[:begins] else 1)
    if b"eXIf" in data[:FIRST]:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "BMP", "GIF")) as image:
            return Header(image.height, image.width, 1)
    except (OSError, SyntaxError, ValueError):
        return None


def _orientation(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data)) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            return orientation if orientation in range(1, 9) else 1
    except (OSError, SyntaxError, ValueError):
        return 1


def _decoded(data: bytes, path: str, channels: int) -> Header:
    height, width = decode_bytes(data, path, channels).shape[:2]
    return Header(height, width, _orientation(data))
