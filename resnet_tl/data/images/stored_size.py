"""The size that an image file's header states, so that a huge image is refused before it is decoded."""

from __future__ import annotations

import re
import struct

from resnet_tl.data.images import jpeg
from resnet_tl.data.images.tiff import read_tiff_header

FIRST = 1 << 16
"""Bytes within which AVIF and JPEG 2000 state their size."""
PNM = re.compile(rb"P[1-6]" + 2 * rb"(?:\s|#[^\n]*\n)+(\d{1,20})")


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Returns (h, w) as stored, before an EXIF rotation; None for other formats, and for damaged headers."""
    read = next((read for signature, read in _READERS.items() if data.startswith(signature)), _iso_media)
    try:
        return read(data)
    except (struct.error, ValueError):
        return None


def _png(data: bytes) -> tuple[int, int]:
    data.index(b"IHDR", 12, 16)
    return struct.unpack_from(">II", data, 16)[::-1]


def _gif(data: bytes) -> tuple[int, int]:
    return struct.unpack_from("<HH", data, 6)[::-1]


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(height), abs(width)


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[8:16]
    if kind == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"WEBPVP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"WEBPVP8X":
        return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    header = read_tiff_header(data)
    return header and (header.height, header.width)


def _pnm(data: bytes) -> tuple[int, int] | None:
    found = PNM.match(data)
    return found and (int(found[2]), int(found[1]))


def _codestream(data: bytes) -> tuple[int, int]:
    """JPEG 2000's (ITU-T T.800, A.5.1): the grid's size less its offset."""
    width, height, left, top = struct.unpack_from(">IIII", data, 8)
    return height - top, width - left


def _jp2(data: bytes) -> tuple[int, int]:
    return struct.unpack_from(">II", data, data.index(b"ihdr", 0, FIRST) + 4)


def _iso_media(data: bytes) -> tuple[int, int] | None:
    """AVIF's: the largest of the images in it, which may be composed of tiles and have a thumbnail."""
    if data[4:8] != b"ftyp":
        return None
    places = [found.end() + 4 for found in re.finditer(b"ispe", data[:FIRST])]
    sizes = [struct.unpack_from(">II", data, place)[::-1] for place in places]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


_READERS = {
    b"\xff\xd8": jpeg.frame_size,
    b"\x89PNG": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"II": _tiff,
    b"MM": _tiff,
    b"P": _pnm,
    b"\xff\x4f\xff\x51": _codestream,
    b"\0\0\0\x0cjP": _jp2,
}
