"""Images changed at random, and bombs: every route reads them or names them, and none fills the memory."""

from __future__ import annotations

import random
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.class_masks import Coding, read_mask
from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.headers import read_header
from resnet_tl.errors import DataError

KINDS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM"]
ANYTHING = Coding(np.zeros(256, np.uint8), {})
ROUTES: list[Callable[[str], object]] = [decode, lambda path: decode(path, 1), read_header, lambda path: read_mask(path, ANYTHING)]  # fmt: skip  # noqa: E501


def changed(data: bytes, number: int) -> bytes:
    draw = random.Random(number)
    result = bytearray(data)
    if number % 5 == 0:
        return data[: draw.randrange(len(data))]
    for _ in range(draw.choice([1, 2, 4, 10])):
        place = draw.randrange(min(len(result), 120) if draw.random() < 0.6 else len(result))
        value = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
        width = draw.choice([1, 1, 4])
        result[place : place + width] = bytes([value]) * width
    return bytes(result)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_images_are_read_or_named(
    kind: str, smooth: Callable[..., np.ndarray], encoded: Callable[..., bytes], save: Callable[[str, bytes], str]
) -> None:
    original = encoded(smooth(24, 30), kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(60):
        path = save("image", changed(original, number))
        for read in ROUTES:
            try:
                read(path)
            except DataError as error:
                assert str(error).startswith(f"{path}: "), number  # noqa: PT017
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2_500_000, "KiB"


def png(width: int, height: int) -> bytes:
    """A grey PNG whose pixels are missing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (40_000, 40_000), (2**31 - 1, 2**31 - 1), (2**21, 1)])
def test_bombs_are_too_large_on_every_route(size: tuple[int, int], save: Callable[[str, bytes], str]) -> None:
    for read in ROUTES:
        with pytest.raises(DataError, match=f"is {size[0]:,} x {size[1]:,} pixels, too large"):
            read(save("bomb.png", png(*size)))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("GIF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_a_scan_of_14000_pixels_a_side_is_read_on_every_route(
    kind: str, options: dict[str, str], tmp_path: Path
) -> None:
    path = str(tmp_path / "scan")
    Image.new("L", (14_000, 14_000)).save(path, kind, **options)
    assert read_header(path)[:2] == (14_000, 14_000)
    assert read_mask(path, ANYTHING).shape == (14_000, 14_000)
    assert decode(path, 1).shape == (14_000, 14_000, 1)
