"""TIFF headers."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.tiff import read_tiff_header
from resnet_tl.errors import DataError


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_that_are_not_those_of_images_are_named(dtype: type, channels: int) -> None:
    data = cv2.imencode(".tiff", np.ones((4, 5, channels), dtype))[1].tobytes()
    header = read_tiff_header(data)
    assert header == (4, 5, np.dtype(dtype).name, channels, False, "")
    for wanted in (1, 3, 7):
        with pytest.raises(DataError, match=f"a.tif: has {np.dtype(dtype).name} values; expected 8- or 16-bit images"):
            decode_bytes(data, "a.tif", wanted)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_both_byte_orders_and_both_sizes_of_offsets(order: str, big: bool) -> None:
    tags = [(256, 3, 1, 5), (257, 4, 1, 4), (258, 3, 1, 16), (277, 3, 1, 3)]
    word = "Q" if big else "I"
    start = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    formats = {3: "H", 4: "I"}
    values = {kind: struct.Struct(order + formats[kind]) for kind in formats}
    entries = b"".join(
        struct.pack(f"{order}HH{word}", tag, kind, number) + values[kind].pack(value).ljust(8 if big else 4, b"\0")
        for tag, kind, number, value in tags
    )
    data = (b"II" if order == "<" else b"MM") + start + count + entries
    assert read_tiff_header(data) == (4, 5, "uint16", 3, False, "")
    for length in range(len(data)):
        assert read_tiff_header(data[:length]) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_that_would_get_a_tint_are_named(channels: int) -> None:
    file = io.BytesIO()
    Image.new("LAB", (5, 4)).save(file, "TIFF")
    with pytest.raises(DataError, match=r"a\.tif: has its colours as CIELAB; expected a TIFF in RGB, grey, CMYK or"):
        decode_bytes(file.getvalue(), "a.tif", channels)


def test_other_files_have_no_header() -> None:
    assert read_tiff_header(b"\x89PNG\r\n\x1a\n") is None
