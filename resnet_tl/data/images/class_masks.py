"""Mask files that store a class in every pixel, read as class indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from resnet_tl.data.images.decode import check_memory, read_bytes
from resnet_tl.data.images.numpy_file import SIGNATURE, from_numpy
from resnet_tl.data.images.pillow import ERRORS, open_image
from resnet_tl.data.images.stored_size import stored_size
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import orient_pixels
from resnet_tl.structures.records import IGNORE

ClassMask = npt.NDArray[np.uint8]
"""`[H, W]`: class indices and `IGNORE`."""

NO_CLASS = 254
"""In a table of codes: marks a value that no mask may contain."""

NEARLY_GREY = 24
"""Largest difference between the channels of a JPEG that was grey before its compression."""


class Coding(NamedTuple):
    """How the pixels of mask files map to classes.

    codes: `[256]` or, where masks of 16 bits need it, `[65536]` uint8: value -> class index, `IGNORE`, or `NO_CLASS`
    for a value that must not occur.
    by_colour: 0xrrggbb -> value; empty where masks cannot be in colours.
    palettes: whether masks with a palette are read by its colours; otherwise its indices are the values.
    """

    codes: npt.NDArray[np.uint8]
    by_colour: dict[int, int]
    palettes: bool = False

    def classes(self, values: npt.NDArray[Any]) -> ClassMask:
        """Returns the class indices of values of any shape, `IGNORE`, and `NO_CLASS` where they have none."""
        if values.dtype == np.uint8 or not values.size or values.max() < len(self.codes):
            return self.codes[values]
        inside = values < len(self.codes)
        return np.where(inside, self.codes[np.where(inside, values, 0)], NO_CLASS).astype(np.uint8)


class Pixels(NamedTuple):
    """The pixels of a mask file.

    kind: whether `values` `[H, W]` are grey values (uint8, uint16), indices of a palette (uint8), or colours 0xrrggbb
    (uint32).
    palette: 0xrrggbb of each index, where there is a palette. lossy: whether the file is a JPEG.
    """

    values: npt.NDArray[Any]
    kind: Literal["grey", "palette", "colour"]
    palette: npt.NDArray[np.uint32] | None = None
    lossy: bool = False


def read_mask(path: str, coding: Coding, orientation: int = 1) -> ClassMask:
    """Reads a mask file as class indices, rotated by the EXIF orientation of its image.

    Raises:
        DataError: it is missing or not an image, or has a value or colour without a class.
    """
    values = read_values(path, coding)
    mask = coding.classes(values)
    if (mask == NO_CLASS).any():
        raise DataError(f"{path}: {without_class(unknown_values(values, coding), coding)}")
    return np.ascontiguousarray(orient_pixels(mask, orientation))


def read_values(path: str, coding: Coding) -> npt.NDArray[Any]:
    """Reads the values `[H, W]` of a mask: grey, the indices of a palette, or the values assigned to RGB colours."""
    pixels = read_pixels(path)
    values = pixels.values
    if pixels.palette is not None and coding.palettes:
        values = pixels.palette[values]
    elif pixels.kind != "colour":
        return values
    try:
        return values_of_colours(values, coding.by_colour)
    except UnknownColour as error:
        raise DataError(f"{path}: {error}") from None


def read_pixels(path: str) -> Pixels:
    """Reads a mask file as it is stored.

    Raises:
        DataError: it is missing, not an image, or of a kind that cannot be a mask.
    """
    data = read_bytes(path)
    if data.startswith(SIGNATURE):
        return _pixels_of_array(from_numpy(data, path), path)
    try:
        with open_image(data, path) as image:
            return _pixels(image, path)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a readable mask (it starts with {data[:8]!r}); expected PNG") from None
    except ERRORS as error:
        check_memory(*(stored_size(data) or (0, 0)), path)
        raise DataError(f"{path}: not a readable mask ({error})") from None


def _pixels(image: Image.Image, path: str) -> Pixels:
    lossy = image.format == "JPEG"
    if image.mode in ("L", "1"):
        return Pixels(np.asarray(image, np.uint8), "grey", lossy=lossy)
    if image.mode in ("LA", "P", "PA"):
        values = np.asarray(image).reshape(image.height, image.width, -1)[..., 0].astype(np.uint8)
        return Pixels(values, "grey") if image.mode == "LA" else Pixels(values, "palette", _palette(image))
    if image.mode.startswith("I"):
        return _deep(np.asarray(image), path)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(f"{path}: is a mask of mode {image.mode}; expected grey, palette or RGB")
    channels = np.asarray(image)[..., :3]
    if lossy and int(np.ptp(channels, axis=2).max()) <= NEARLY_GREY:
        return Pixels(channels[..., 1], "grey", lossy=True)
    return Pixels(_packed(channels), "colour", lossy=lossy)


def _pixels_of_array(values: npt.NDArray[Any], path: str) -> Pixels:
    """The pixels of a mask that is stored as an array `[H, W]` or `[H, W, 1]` of integers."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or not values.size or values.dtype.kind not in "uib":
        raise DataError(
            f"{path}: is a mask of shape {values.shape} and {values.dtype}; expected integers, height x width"
        )
    return Pixels(values.astype(np.uint8), "grey") if values.max() < 256 and values.min() >= 0 else _deep(values, path)


def _deep(values: npt.NDArray[Any], path: str) -> Pixels:
    if values.min() >= 0 and values.max() < 1 << 16:
        return Pixels(values.astype(np.uint16), "grey")
    raise DataError(f"{path}: has the value {values.min() if values.min() < 0 else values.max()}; expected 0 to 65535")


def _palette(image: Image.Image) -> npt.NDArray[np.uint32]:
    colours = np.zeros((256, 3), np.uint8)
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours[: len(stored)] = stored
    return _packed(colours)


def _packed(channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """`[..., 3]` RGB -> 0xrrggbb."""
    red, green, blue = (channels[..., i].astype(np.uint32) for i in range(3))
    return (red << np.uint32(16)) | (green << np.uint32(8)) | blue


def runs(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Returns the values of runs of equal pixels, row by row, and their lengths: far fewer than pixels in a mask."""
    flat = values.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return flat[starts], np.diff(starts, append=len(flat))


def is_grey(colours: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each of the colours 0xrrggbb has three equal channels."""
    return np.equal(colours, (colours & 0xFF) * 0x010101)


class UnknownColour(Exception):
    """A colour that has no value, as the end of an error message."""


def values_of_colours(colours: npt.NDArray[Any], by_colour: dict[int, int]) -> npt.NDArray[Any]:
    """Returns the values assigned to colours 0xrrggbb, of any shape. Without assigned ones, grey colours have the
    values of their channels.

    Raises:
        UnknownColour: a colour has no value.
    """
    of_runs, lengths = runs(colours)
    if not by_colour:
        if not is_grey(of_runs).all():
            raise UnknownColour("is a mask of mode RGB; expected one value a pixel, or the colours of a classes.csv")
        return (colours & 0xFF).astype(np.uint8)
    known = np.array(sorted(by_colour))
    values = np.array([by_colour[colour] for colour in known.tolist()])
    place = np.searchsorted(known, of_runs).clip(max=len(known) - 1)
    unknown = of_runs[known[place] != of_runs]
    if len(unknown):
        raise UnknownColour(f"has the colour #{unknown[0]:06x}, which the class file does not list")
    kind = np.uint8 if values.max() < 256 else np.uint16
    return np.repeat(values[place].astype(kind), lengths).reshape(colours.shape)


def unknown_values(values: npt.NDArray[Any], coding: Coding) -> list[int]:
    """Returns the values that have no class, in ascending order."""
    present = np.unique(values)
    return [int(value) for value in present[coding.classes(present) == NO_CLASS]]


def without_class(values: Sequence[int], coding: Coding, ignored: Sequence[int] | None = None) -> str:
    """Returns the end of an error message: that a mask has values without a class, and those expected.

    ignored: the values that `data.ignore` might name; None: these.
    """
    known = np.flatnonzero(coding.codes < NO_CLASS)
    already = np.flatnonzero(coding.codes == IGNORE)
    listed = ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
    # Long lists of ignored values (Cityscapes, where all other ids are ignored) would say nothing.
    also = f" or {', '.join(map(str, already[:3]))} to ignore" if len(already) and len(already) < 9 else ""
    more = values if ignored is None else ignored
    cure = f" (data.ignore: {[*more, *already.tolist()]} ignores {'it' if len(more) == 1 else 'them'} too)"
    return (
        f"has the value{'s' if len(values) > 1 else ''} {listed}; expected {known.min()} to {known.max()}{also}"
        f"{cure if also and len(more) <= 5 else ''}"
    )
