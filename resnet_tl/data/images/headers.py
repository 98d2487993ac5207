"""The size and EXIF orientation of an image, from the file's header where possible."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import ExifTags, Image

from resnet_tl.data.images.decode import decode_bytes, jpeg_segment, jpeg_size, read_bytes

FIRST = 16384
"""Bytes within which most files store their size."""

SCAN = b"\xda"
"""The marker that ends a JPEG's header."""


class Header(NamedTuple):
    """height, width: of the upright image, as decoded. orientation: EXIF's, 1 (upright) to 8."""

    height: int
    width: int
    orientation: int


def read_header(path: str, channels: int = 3) -> Header:
    """Reads the header of a file or of a member of a zip; decodes the image where the header is not enough.

    Raises:
        DataError: missing, or not an image.
    """
    header = _parsed(read_bytes(path, FIRST))
    if header is None:
        data = read_bytes(path)
        header = _parsed(data) or _decoded(data, path, channels)
    return header


def read_size(path: str, channels: int = 3) -> tuple[int, int]:
    """Returns (h, w) of an image after its EXIF rotation.

    Raises:
        DataError: missing, or not an image.
    """
    header = read_header(path, channels)
    return header.height, header.width


def _parsed(data: bytes) -> Header | None:
    """Parses the first bytes of a file; None for an unknown format, or where they are too few."""
    if data.startswith(b"\xff\xd8"):
        header_end = jpeg_segment(data, SCAN)
        size = jpeg_size(data) if header_end > 0 else None
        return size and Header(*size, _orientation(data) if b"Exif\0" in data[:header_end] else 1)
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
