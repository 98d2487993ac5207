"""The size and EXIF orientation of an image, from the file's header where possible."""

from __future__ import annotations

from typing import NamedTuple

from resnet_tl.data.images import jpeg
from resnet_tl.data.images.decode import decode_bytes, jpeg_size, read_bytes
from resnet_tl.data.images.limits import check_size
from resnet_tl.data.images.pillow import exif_orientation
from resnet_tl.data.images.stored_size import stored_size

FIRST = 16384
"""Bytes within which most files store their size."""


class Header(NamedTuple):
    """height, width: of the upright image, as decoded. orientation: EXIF's, 1 (upright) to 8."""

    height: int
    width: int
    orientation: int


def read_header(path: str, channels: int = 3) -> Header:
    """Reads the header of a file or of a member of a zip; decodes the image where the header is not enough.

    Raises:
        DataError: missing, not an image, or larger than images may be.
    """
    header = _parsed(read_bytes(path, FIRST), path)
    if header is None:
        data = read_bytes(path)
        header = _parsed(data, path) or _decoded(data, path, channels)
    check_size(header.height, header.width, path)
    return header


def _parsed(data: bytes, path: str) -> Header | None:
    """Parses the first bytes of a file; None for an unknown format, or where they are too few."""
    if data.startswith(b"\xff\xd8"):
        header_end = jpeg.segment(data, jpeg.SCAN)
        size = jpeg_size(data) if header_end > 0 else None
        return size and Header(*size, exif_orientation(data, path) if b"Exif\0" in data[:header_end] else 1)
    if b"eXIf" in data[:FIRST] or not data.startswith((b"\x89PNG", b"BM", b"GIF8")):
        return None
    size = stored_size(data)
    return Header(*size, 1) if size and min(size) else None


def _decoded(data: bytes, path: str, channels: int) -> Header:
    height, width = decode_bytes(data, path, channels).shape[:2]
    return Header(height, width, exif_orientation(data, path))
