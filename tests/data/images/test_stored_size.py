"""Sizes in headers are those that decoders find."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, features

from resnet_tl.data.images.stored_size import stored_size

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"lossless": False}),
    ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"big_tiff": True}),
    ("PPM", {}),
    ("JPEG2000", {}),
    ("JPEG2000", {"no_jp2": True}),
    ("AVIF", {}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("size", [(40, 56), (300, 1), (1, 257)])
def test_every_format_states_its_size(
    kind: str, options: dict[str, Any], size: tuple[int, int], encoded: Callable[..., bytes]
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    assert stored_size(encoded(np.zeros((*size, 3), np.uint8), kind, **options)) == size


def test_headers_that_pillow_does_not_write() -> None:
    assert stored_size(b"P5 # a comment\n# another\n56\t40\n255\n") == (40, 56)
    assert stored_size(b"BM" + bytes(12) + (12).to_bytes(4, "little") + b"\x38\0\x28\0") == (40, 56)
    upside_down = (40).to_bytes(4, "little") + (56).to_bytes(4, "little") + (-40).to_bytes(4, "little", signed=True)
    assert stored_size(b"BM" + bytes(12) + upside_down) == (40, 56)
    buffer = io.BytesIO()
    Image.new("L", (56, 40)).save(buffer, "TIFF")
    big_endian = cv2.imencode(".tiff", np.zeros((40, 56), np.uint16))[1].tobytes()
    assert stored_size(big_endian) == stored_size(buffer.getvalue()) == (40, 56)


def test_a_cut_or_unknown_header_has_no_size(encoded: Callable[..., bytes]) -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "PPM"):
        data = encoded(np.zeros((4, 5, 3), np.uint8), kind)
        for length in range(5):
            assert stored_size(data[:length]) is None, (kind, length)
    for data in (b"", b"hello", b"\x00\x00\x00\x18ftypheic", b"RIFF\0\0\0\0WAVEfmt ", b"\x89PNG" + bytes(40)):
        assert stored_size(data) is None
