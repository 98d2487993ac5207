"""Whether the chunks of a PNG fit into the file: OpenCV allocates what a chunk's length states."""

from __future__ import annotations

import struct

SIGNATURE = b"\x89PNG"
_CHUNK = struct.Struct(">I4s")
AROUND = 12
"""Bytes of a chunk's length, type and checksum."""


def is_cut(data: bytes) -> bool:
    """Whether a chunk of a PNG is longer than the rest of the file."""
    place, kind = 8, b""
    while place + AROUND <= len(data) and kind != b"IEND":
        length, kind = _CHUNK.unpack_from(data, place)
        place += length + AROUND
    return place > len(data)
