"""ClassMask files: a class index in every pixel."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

ClassMask = npt.NDArray[np.uint8]
"""`[H, W]`: class indices and `IGNORE`."""

NO_CLASS = 254
"""In a table of codes: a value that no mask may hold."""


class Coding(NamedTuple):
    """What the pixels of mask files mean.

    codes: `[256]` uint8, a value -> class index, `IGNORE`, or `NO_CLASS` for one that must not occur.
    by_colour: 0xrrggbb -> the value that it stands for; empty where masks in colours are not understood.
    """

    codes: npt.NDArray[np.uint8]
    by_colour: dict[int, int]


def read_mask(path: str, coding: Coding) -> ClassMask:
    """A mask file as class indices.

    Raises:
        DataError: missing, no image, or with a value or colour that stands for no class.
    """
    mask = coding.codes[read_values(path, coding)]
    if (mask == NO_CLASS).any():
        raise DataError(f"{path}: {unknown_values(read_values(path, coding), coding)}")
    return mask


def read_values(path: str, coding: Coding) -> ClassMask:
    """What the file holds, `[H, W]`: of a palette the indices, of RGB the values by colour."""
    data = read_bytes(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ("L", "P", "1"):
                return np.asarray(image, np.uint8)
            if image.mode not in ("RGB", "RGBA") or not coding.by_colour:
                raise DataError(
                    f"{path}: is a mask of mode {image.mode}; expected one value a pixel (grey or palette, 8 bits), or "
                    "RGB in the colours of a classes.csv"
                )
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a readable mask ({error})") from None
    return _values_of(pixels, coding.by_colour, path)


def unknown_values(values: ClassMask, coding: Coding) -> str:
    """Which values of a mask are no class's, and what was expected."""
    codes = coding.codes
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    strange = [int(value) for value in found if codes[value] == NO_CLASS]
    known = np.flatnonzero(codes < NO_CLASS)
    ignored = np.flatnonzero(codes == IGNORE)
    shown = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
    also = f" or {', '.join(map(str, ignored[:3]))} to ignore" if len(ignored) and len(ignored) < 9 else ""
    return f"holds the value {shown}; expected {known.min()} to {known.max()}{also}"


def _values_of(pixels: npt.NDArray[np.uint8], by_colour: dict[int, int], path: str) -> ClassMask:
    """RGB `[H, W, 3]` -> the colours' values `[H, W]`."""
    known = np.array(sorted(by_colour))
    values = np.array([by_colour[colour] for colour in known.tolist()], np.uint8)
    packed = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    place = np.searchsorted(known, packed).clip(max=len(known) - 1)
    strange = packed[known[place] != packed]
    if len(strange):
        raise DataError(f"{path}: holds the colour #{strange[0]:06x}, which the class file does not name")
    return values[place]
