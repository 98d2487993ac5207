"""Mask files: a class index in every pixel."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_tl.data.decode import read_bytes
from resnet_tl.errors import DataError
from resnet_tl.records import IGNORE

Mask = npt.NDArray[np.uint8]
"""`[H, W]`: class indices and `IGNORE`."""

NO_CLASS = 254
"""In a table of codes: a value that no mask may hold."""


def read_mask(path: str, codes: npt.NDArray[np.uint8]) -> Mask:
    """A mask file, grey or palette, of 8 bits, as class indices.

    codes: `[256]`, the file's value -> class index, `IGNORE` or `NO_CLASS`.

    Raises:
        DataError: missing, no picture, in colours, or with a value that stands for no class.
    """
    mask = codes[read_values(path)]
    if (mask == NO_CLASS).any():
        raise DataError(f"{path}: {strange_values(read_values(path), codes)}")
    return mask


def read_values(path: str) -> Mask:
    """What the file holds, `[H, W]`: of a palette the indices, not the colours."""
    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("L", "P", "1"):
                raise DataError(
                    f"{path}: is a mask of mode {image.mode}; expected one value a pixel (grey or palette, 8 bits)"
                )
            return np.asarray(image, np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable mask ({error})") from None


def strange_values(values: Mask, codes: npt.NDArray[np.uint8]) -> str:
    """Which values of a mask are no class's, and what was expected."""
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    strange = [int(value) for value in found if codes[value] == NO_CLASS]
    known = np.flatnonzero(codes < NO_CLASS)
    ignored = np.flatnonzero(codes == IGNORE)
    shown = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
    also = f" or {', '.join(map(str, ignored[:3]))} to ignore" if len(ignored) and len(ignored) < 9 else ""
    return f"holds the value {shown}; expected {known.min()} to {known.max()}{also}"
