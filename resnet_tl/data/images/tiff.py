"""What a TIFF's header states: the size of its first image, and the type of its values."""

from __future__ import annotations

import struct
from typing import NamedTuple

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Both byte orders, of TIFF and of BigTIFF."""
WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, EXTRA_SAMPLES, FORMAT = 256, 257, 258, 262, 277, 338, 339
"""Tags (TIFF 6.0, sections 8 and 18)."""
OTHER_COLOURS = {8: "CIELAB", 9: "ICCLAB", 10: "ITULAB", 32803: "a colour filter array", 34892: "linear raw"}
"""Photometric interpretations that decoders refuse, or convert with a tint (CIELAB, without its white point)."""
UNASSOCIATED_ALPHA = 2
VALUE_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
FORMATS = {1: "uint", 2: "int", 3: "float", 5: "complexint", 6: "complex"}
MOST_TAGS = 4096


class TiffHeader(NamedTuple):
    """values: `uint8`, `float32`, ... samples: channels of a page. has_alpha: of which the colours are independent.
    other_colours: see `OTHER_COLOURS`; "" for grey, RGB, palettes, CMYK and YCbCr."""

    height: int
    width: int
    values: str
    samples: int
    has_alpha: bool
    other_colours: str

    @property
    def is_decodable(self) -> bool:
        """Whether the values are those of images, packed ones (1 to 4 bits) as grey or palette."""
        packed = self.values in ("uint1", "uint2", "uint4") and self.samples == 1
        return packed or self.values in ("uint8", "uint16")

    @property
    def is_blended(self) -> bool:
        """Whether OpenCV would multiply the colours by their alpha: it does so in 8-bit images of four channels."""
        return self.has_alpha and (self.values, self.samples) == ("uint8", 4)


def read_tiff_header(data: bytes) -> TiffHeader | None:
    """Returns the header of the first image; None for other files, and for damaged ones."""
    if data[:4] not in SIGNATURES:
        return None
    try:
        tags = _tags(data)
        values = f"{FORMATS[tags.get(FORMAT, 1)]}{tags.get(BITS, 1)}"
        has_alpha = tags.get(EXTRA_SAMPLES) == UNASSOCIATED_ALPHA
        colours = OTHER_COLOURS.get(tags.get(PHOTOMETRIC, 1), "")
        return TiffHeader(tags[HEIGHT], tags[WIDTH], values, tags.get(SAMPLES, 1), has_alpha, colours)
    except (struct.error, KeyError):
        return None


def _tags(data: bytes) -> dict[int, int]:
    """Returns the first value of each tag of the first image whose values are integers."""
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    start, count_format, size = (8, "Q", "Q") if big else (4, "H", "I")
    (start,) = struct.unpack_from(order + size, data, start)
    (count,) = struct.unpack_from(order + count_format, data, start)
    entry = struct.Struct(f"{order}HH{size}{size}")
    room, start = struct.calcsize(size), start + struct.calcsize(count_format)
    tags: dict[int, int] = {}
    for place in range(start, start + min(count, MOST_TAGS) * entry.size, entry.size):
        tag, kind, values, offset = entry.unpack_from(data, place)
        if kind in VALUE_TYPES and values:
            value = struct.Struct(order + VALUE_TYPES[kind])
            inline = value.size * values <= room
            (tags[tag],) = value.unpack_from(data, place + entry.size - room if inline else offset)
    return tags
