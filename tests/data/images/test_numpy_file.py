"""`.npy` files: numpy's own reading of them, and one sentence for what is not an array."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.numpy_file import from_numpy
from resnet_tl.errors import DataError


def stored(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f8", "?"])
def test_arrays_are_read_as_numpy_does(dtype: str) -> None:
    for array in (np.arange(24).reshape(2, 4, 3), np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1), np.zeros((0, 3))):
        data = stored(array.astype(dtype))
        found = from_numpy(data + b"more", "a.npy")
        np.testing.assert_array_equal(found, np.load(io.BytesIO(data)))
        assert found.dtype == np.dtype(dtype)
        assert found.flags.writeable


def test_a_header_of_a_huge_array_allocates_nothing() -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999, 9999, 9999)}\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(DataError, match=r"a\.npy: not a readable \.npy array \(it is uint8 of shape .*, but 0 bytes"):
        from_numpy(data, "a.npy")


def test_broken_headers_are_sentences() -> None:
    data = stored(np.zeros((4, 5, 3), np.uint8))
    for number in range(300):
        draw = random.Random(number)
        broken = bytearray(data)
        for _ in range(draw.choice([1, 2, 8])):
            broken[draw.randrange(6, 128)] = draw.randrange(256)
        try:
            decode_bytes(bytes(broken), "a.npy")
        except DataError as error:
            assert str(error).startswith("a.npy: ")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
