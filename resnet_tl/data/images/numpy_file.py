"""Arrays in `.npy` files, checked by their header before anything is allocated."""

from __future__ import annotations

import io
import math
import tokenize
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet_tl.data.images.limits import check_size
from resnet_tl.errors import DataError

SIGNATURE = b"\x93NUMPY"
ERRORS = (
    *(ValueError, TypeError, LookupError, OverflowError, RecursionError, MemoryError),
    *(SyntaxError, tokenize.TokenError),
)
"""What numpy raises for a header that is not one: it is parsed as a Python literal."""


def from_numpy(data: bytes, path: str) -> npt.NDArray[Any]:
    """Returns the array in a `.npy` file's bytes.

    Raises:
        DataError: it is damaged, larger than images may be, or holds Python objects.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(file)
    except (
        ValueError,
        SyntaxError,
        tokenize.TokenError,
        TypeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise DataError(f"{path}: not a readable .npy array ({_one_line(error)})") from error
    height, width = (*shape, 1, 1)[:2]
    check_size(height, width, path)
    left = len(data) - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > left:
        raise DataError(f"{path}: not a readable .npy array (it is {dtype} of shape {shape}, but {left} bytes follow)")
    return np.ndarray(shape, dtype, data, file.tell(), order="F" if column_major else "C").copy()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
