"""What a JPEG's header states, and whether the file ends."""

from __future__ import annotations

import struct

FRAMES = bytes(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
"""Markers of the segments that hold a JPEG's size (ITU-T T.81, table B.1)."""
SCAN = b"\xda"
"""The marker that ends a JPEG's header."""


def frame_size(data: bytes) -> tuple[int, int] | None:
    """Returns (h, w) as stored; None where the header is cut or damaged."""
    frame = segment(data, FRAMES)
    return None if frame < 0 else struct.unpack(">HH", data[frame + 5 : frame + 9])


def segment(data: bytes, markers: bytes) -> int:
    """Returns where the first segment with one of these markers begins; -1 where the header has none or is cut."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in markers:
            return position
        if marker == 0xDA:
            return -1
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 1 if marker == 0xFF else 2 + length  # 0xFF may be repeated as padding
    return -1


def ends(data: bytes) -> bool:
    """Whether the end-of-image marker follows the pixels (some versions of OpenCV silently fill up a truncated file).

    The search starts after the first scan, because a thumbnail in the header has such a marker too, and covers the rest
    of the file, because cameras append videos and further images.
    """
    if data.endswith(b"\xff\xd9"):
        return True
    scan = segment(data, SCAN)
    return scan >= 0 and data.find(b"\xff\xd9", scan) >= 0


def is_common(data: bytes) -> bool:
    """Whether the header states what every decoder knows: a size, baseline or progressive, Huffman-coded, 8 bits, grey
    or YCbCr (not RGB, as Adobe's marker 0 or components named R, G, B mean; not CMYK)."""
    frame, adobe = segment(data, FRAMES), segment(data, b"\xee")
    if frame < 0 or frame + 19 > len(data) or data[frame + 1] > 0xC2 or data[frame + 4] != 8:
        return False
    if not all(frame_size(data) or (0,)):
        return False
    if data[frame + 9] == 1:
        return True
    is_rgb = data[frame + 10 : frame + 19 : 3] == b"RGB"
    if adobe >= 0 and data[adobe + 4 : adobe + 9] == b"Adobe":
        is_rgb = data[adobe + 15 : adobe + 16] == b"\0"
    return data[frame + 9] == 3 and not is_rgb
