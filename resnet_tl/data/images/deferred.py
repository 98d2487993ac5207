"""Images whose transforms are recorded by the loader's workers, to be applied on the device.

A transform gets such an image in place of an array. It draws what it draws and takes the same way through its code: it
is the functions that change pixels (`resize`, `mirror`, ...) that add a step in place of doing it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias, cast, final

import numpy as np

from resnet_tl.data.images import jpeg
from resnet_tl.data.images.decode import ImageArray, decode_bytes, read_bytes
from resnet_tl.data.images.device_colours import Colours
from resnet_tl.data.images.limits import check_size
from resnet_tl.data.images.pillow import exif_orientation
from resnet_tl.errors import RecipeError
from resnet_tl.structures.records import Interpolation


class Crop(NamedTuple):
    """To `height` x `width` pixels at (`top`, `left`)."""

    top: int
    left: int
    height: int
    width: int


class Resize(NamedTuple):
    """antialias: whether a bilinear or bicubic filter widens as the image shrinks."""

    height: int
    width: int
    interpolation: Interpolation
    antialias: bool


class Mirror(NamedTuple):
    """Left and right swapped."""


class Reflect(NamedTuple):
    """Pads all four sides by `pad` pixels, reflected without repeating the edge."""

    pad: int


class Pad(NamedTuple):
    """Pads with black on the right and at the bottom, to `height` x `width`: the last step."""

    height: int
    width: int


Step: TypeAlias = "Crop | Resize | Mirror | Reflect | Pad"


class Jpeg(NamedTuple):
    """A file that the device decodes. `orientation` is EXIF's, 1 to 8; size: (h, w) of the upright image."""

    data: bytes
    path: str
    orientation: int
    size: tuple[int, int]


BYTES = np.dtype(np.uint8)


@final
@dataclass(frozen=True)
class Deferred:
    """An image of which the device makes `[H, W, C]` = `shape` from its source by `steps`, uint8.

    source: pixels `[H, W, C]`, or a JPEG file.
    colours: the drawn changes of colour and geometry of a preset, which follow the steps but not padding.
    """

    source: ImageArray | Jpeg
    shape: tuple[int, int, int]
    steps: tuple[Step, ...] = ()
    colours: Colours = field(default_factory=dict)
    dtype: np.dtype[np.uint8] = BYTES

    def __getitem__(self, key: tuple[slice, slice] | None) -> Deferred:
        """Crops by the slices of rows and columns; None gives the image as its only view, as in an array of views."""
        if key is None:
            return self
        (top, bottom, _), (left, right, _) = (part.indices(side) for part, side in zip(key, self.shape, strict=False))
        if not self.steps and isinstance(self.source, np.ndarray):
            return of_pixels(self.source[top:bottom, left:right])
        return self._followed_by(Crop(top, left, bottom - top, right - left), bottom - top, right - left)

    def resized(self, height: int, width: int, interpolation: Interpolation, *, antialias: bool) -> Deferred:
        return self._followed_by(Resize(height, width, interpolation, antialias), height, width)

    def mirrored(self) -> Deferred:
        return self._followed_by(Mirror(), *self.shape[:2])

    def reflected(self, pad: int) -> Deferred:
        return self._followed_by(Reflect(pad), self.shape[0] + 2 * pad, self.shape[1] + 2 * pad)

    def padded(self, height: int, width: int) -> Deferred:
        return self._followed_by(Pad(height, width), height, width)

    def copy(self) -> Deferred:
        """Returns itself: nothing is done in place."""
        return self

    def coloured(self, colours: Colours) -> Deferred:
        return replace(self, colours={**self.colours, **colours})

    def _followed_by(self, step: Step, height: int, width: int) -> Deferred:
        return replace(self, steps=(*self.steps, step), shape=(height, width, self.shape[2]))


def of_pixels(image: ImageArray) -> Deferred:
    return Deferred(image, (image.shape[0], image.shape[1], image.shape[2]))


def defer(image: ImageArray, path: str) -> ImageArray:
    """Returns a decoded image so that transforms are recorded; typed as the array in whose place it passes through.

    Raises:
        RecipeError: it has 16 bits.
    """
    if image.dtype != np.uint8:
        raise RecipeError(
            f"data.augment_on: device changes 8-bit images, but {path} has {8 * image.itemsize} bits; set it to cpu"
        )
    return cast(ImageArray, of_pixels(image))


def open_encoded(path: str, channels: int) -> ImageArray:
    """Reads a file for a device that decodes: a JPEG is checked by its header, other images are decoded here.

    So is a JPEG that nvJPEG does not know (CMYK, arithmetic coding, 12 bits) or that is cut.

    Raises:
        DataError: as `decode`. RecipeError: see `defer`.
    """
    data = read_bytes(path)
    if not (data.startswith(b"\xff\xd8") and jpeg.is_common(data) and jpeg.ends(data)):
        return defer(decode_bytes(data, path, channels), path)
    frame = jpeg.segment(data, jpeg.FRAMES)
    height, width = jpeg.frame_size(data) or (0, 0)
    check_size(height, width, path)
    orientation = exif_orientation(data, path) if b"Exif\0" in data[:frame] else 1
    size = (height, width) if orientation < 5 else (width, height)
    return cast(ImageArray, Deferred(Jpeg(data, path, orientation, size), (*size, channels)))
