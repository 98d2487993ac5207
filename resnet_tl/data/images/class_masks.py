"""Mask files that store a class in every pixel, read as class indices."""

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
"""In a table of codes: marks a value that no mask may contain."""


class Coding(NamedTuple):
    """How the pixels of mask files map to classes.

    codes: `[256]` uint8, value -> class index, `IGNORE`, or `NO_CLASS` for a value that must not occur.
    by_colour: 0xrrggbb -> value; empty where masks cannot be in colours.
    """

    codes: npt.NDArray[np.uint8]
    by_colour: dict[int, int]


def read_mask(path: str, coding: Coding) -> ClassMask:
    """Reads a mask file as class indices.

    Raises:
        DataError: it is missing or not an image, or has a value or colour without a class.
    """
    mask = coding.codes[read_values(path, coding)]
    if (mask == NO_CLASS).any():
        raise DataError(f"{path}: {unknown_values(read_values(path, coding), coding)}")
    return mask


def read_values(path: str, coding: Coding) -> ClassMask:
    """Reads the raw values `[H, W]`: the indices of a palette, or the values assigned to RGB colours."""
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
    """Returns the end of an error message: the values of a mask that are not a class's, and those expected."""
    codes = coding.codes
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    unknown = [int(value) for value in present if codes[value] == NO_CLASS]
    known = np.flatnonzero(codes < NO_CLASS)
    ignored = np.flatnonzero(codes == IGNORE)
    listed = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    # Long lists of ignored values (Cityscapes, where all other ids are ignored) would say nothing.
    also = f" or {', '.join(map(str, ignored[:3]))} to ignore" if len(ignored) and len(ignored) < 9 else ""
    cure = f" (data.ignore: {[*unknown[:3], *ignored.tolist()]} ignores it too)" if also and len(unknown) == 1 else ""
    return f"has the value {listed}; expected {known.min()} to {known.max()}{also}{cure}"


def _values_of(pixels: npt.NDArray[np.uint8], by_colour: dict[int, int], path: str) -> ClassMask:
    """RGB `[H, W, 3]` -> the values of its colours `[H, W]`."""
    known = np.array(sorted(by_colour))
    values = np.array([by_colour[colour] for colour in known.tolist()], np.uint8)
    packed = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    place = np.searchsorted(known, packed).clip(max=len(known) - 1)
    unknown = packed[known[place] != packed]
    if len(unknown):
        raise DataError(f"{path}: has the colour #{unknown[0]:06x}, which the class file does not list")
    return values[place]
