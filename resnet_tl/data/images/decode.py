"""Decoding: a file's bytes as an upright RGB image `[H, W, C]`, uint8 or uint16. Every error names the path."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resnet_tl.data.images import jpeg, png
from resnet_tl.data.images.archive import open_archive, split_path
from resnet_tl.data.images.heif import is_heif, register
from resnet_tl.data.images.limits import check_bytes, check_size
from resnet_tl.data.images.numpy_file import SIGNATURE, from_numpy
from resnet_tl.data.images.stored_size import stored_size
from resnet_tl.data.images.tiff import SIGNATURES as TIFF
from resnet_tl.data.images.tiff import TiffHeader, read_tiff_header
from resnet_tl.errors import DataError

ImageArray = npt.NDArray[Any]
"""`[H, W, C]`, uint8 (0...255) or uint16 (0...65535)."""

REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}
"""OpenCV's bits of IMREAD_REDUCED_*, with which libjpeg decodes at 1/2, 1/4, 1/8 of the size."""


def decode(path: str, channels: int = 3, reduce: int = 1) -> ImageArray:
    """Reads an image from a file or from a member of a zip (`photos.zip/cat/1.jpg`).

    Args:
        path: JPEG, PNG, WebP, GIF (the first frame), BMP, TIFF, PNM, JPEG 2000, AVIF (where OpenCV has it), HEIC (with
            pillow-heif), or `.npy`.
        channels: 3: RGB, grey repeated; 1: grey. Any other number, and every `.npy`: as stored, after checking the
            count (a TIFF by tifffile, channels last or one a page).
        reduce: 2, 4 or 8 decodes a JPEG at that fraction of its size (rounded up), which is cheaper; other formats
            ignore it.

    16-bit files stay 16-bit. The EXIF rotation is applied. Transparency is dropped.

    Raises:
        DataError: the file is missing, empty, truncated, not an image, larger than the limits (`limits`), or has
            another number of channels.
        MemoryError: there is no memory for its pixels.
    """
    return decode_bytes(read_bytes(path), path, channels, reduce)


def check_memory(height: int, width: int, path: str) -> None:
    """Raises MemoryError if there is no memory to decode an image: for decoders, that is damage."""
    try:
        np.empty((height, width, 8), np.uint8)
    except MemoryError:
        raise MemoryError(f"{path}: no memory for its {width:,} x {height:,} pixels") from None


def read_bytes(path: str, first: int = -1, *, allow_empty: bool = False) -> bytes:
    """Returns the content of a file (at most its `first` bytes) or of a member of a zip.

    Raises:
        DataError: it cannot be read, is empty, or larger than files may be.
    """
    inside = split_path(path)
    try:
        data = open_archive(inside[0]).read(inside[1]) if inside else _read_file(path, first)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = str(error) if isinstance(error, ValueError) else os.strerror(error.errno or 0).lower()
        raise DataError(f"{path}: cannot be read ({reason})") from error
    if not data and not allow_empty:
        raise DataError(f"{path}: the file is empty; expected an image")
    return data


def decode_bytes(data: bytes, path: str, channels: int = 3, reduce: int = 1) -> ImageArray:
    """`decode` for bytes that have been read already; `path` is named in errors."""
    if data.startswith(SIGNATURE):
        image = from_numpy(data, path)
    else:
        size, tiff = _checked_headers(data, path)
        try:
            image = _decoded(data, tiff, path, channels, reduce)
        except (DataError, MemoryError):
            check_memory(*size, path)
            raise
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] != channels:
        raise DataError(f"{path}: has the shape {image.shape}; expected height x width x {channels} channels")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype not in (np.uint8, np.uint16):
        raise _wrong_values(path, str(image.dtype))
    return image


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns (h, w) after the EXIF rotation, from a JPEG's header alone; None for other or damaged files."""
    size = jpeg.frame_size(data) if data.startswith(b"\xff\xd8") else None
    if size is None:
        return None
    frame = jpeg.segment(data, jpeg.FRAMES)
    return size[::-1] if b"Exif\0" in data[:frame] and _is_rotated(data) else size


def _read_file(path: str, first: int) -> bytes:
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(file, "rb", buffering=0) as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: cannot be read (not a file, but a device or a pipe)")
        if first >= 0:
            return opened.read(first)
        check_bytes(status.st_size, path)
        return opened.readall()


def _checked_headers(data: bytes, path: str) -> tuple[tuple[int, int], TiffHeader | None]:
    """Returns the stored (h, w) of an image, and a TIFF's header, after checking by them what decoders would fail at or
    allocate."""
    size = stored_size(data)
    if size is None:
        raise _undecodable(data, path)
    check_size(*size, path)
    if data.startswith(png.SIGNATURE) and png.is_cut(data):
        raise _undecodable(data, path)
    header = read_tiff_header(data)
    if header is not None and not header.is_decodable:
        raise _wrong_values(path, header.values)
    return size, header


def _decoded(data: bytes, tiff: TiffHeader | None, path: str, channels: int, reduce: int) -> ImageArray:
    if is_heif(data):
        register(path)
        return _from_pillow(data, path, channels, ("HEIF",))
    if channels not in (1, 3):
        return _as_stored(data, path, channels)
    return _from_image(data, path, channels, reduce) if tiff is None else _from_colour_tiff(data, tiff, path, channels)


def _wrong_values(path: str, values: str) -> DataError:
    return DataError(f"{path}: has {values} values; expected 8- or 16-bit images (uint8, uint16)")


def _from_image(data: bytes, path: str, channels: int, reduce: int) -> ImageArray:
    if data.startswith(b"\xff\xd8"):
        flags = REDUCED[reduce] | (cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)
        image = _opencv(data, flags) if jpeg.ends(data) else None
    else:
        image = None if _needs_pillow(data) else _deep(data, channels)
    return _from_pillow(data, path, channels) if image is None else image


def _from_colour_tiff(data: bytes, header: TiffHeader, path: str, channels: int) -> ImageArray:
    if header.other_colours:
        raise DataError(
            f"{path}: has its colours as {header.other_colours}; expected a TIFF in RGB, grey, CMYK or YCbCr"
        )
    if header.is_blended:
        return _from_pillow(data, path, channels, ("TIFF",))
    image = _deep(data, channels)
    if image is None:
        raise _undecodable(data, path)
    return image


def _deep(data: bytes, channels: int) -> ImageArray | None:
    """Decodes 8 or 16 bits by OpenCV."""
    image = _opencv(data, cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE))
    if image is not None and channels == 3:  # asked for RGB itself, OpenCV 5 scrambles a 16-bit TIFF
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image


def _opencv(data: bytes, flags: int) -> ImageArray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _needs_pillow(data: bytes) -> bool:
    """OpenCV before 4.12 cannot read GIF; before 5 it ignores the EXIF rotation of a WebP (VP8X, bit 3: has EXIF)."""
    return data.startswith(b"GIF8") or (data[8:16] == b"WEBPVP8X" and bool(data[20] & 0x08))


EIGHT_BITS = ("JPEG", "GIF", "WEBP", "BMP")
"""Formats that never exceed 8 bits."""


def _from_pillow(data: bytes, path: str, channels: int, formats: Sequence[str] = EIGHT_BITS) -> ImageArray:
    """Decodes one of these formats; Pillow's message becomes the reason in ours."""
    from PIL import ImageOps, UnidentifiedImageError

    from resnet_tl.data.images.pillow import ERRORS, open_image

    try:
        with open_image(data, path, formats) as image:
            upright = ImageOps.exif_transpose(image)
            return np.array(upright.convert("RGB" if channels == 3 else "L"))
    except UnidentifiedImageError:
        raise _undecodable(data, path) from None
    except ERRORS as error:
        raise DataError(f"{path}: a damaged image ({error})") from error


def _undecodable(data: bytes, path: str) -> DataError:
    if data.startswith((png.SIGNATURE, b"BM", *TIFF)):
        return DataError(f"{path}: a damaged image")
    return DataError(f"{path}: not an image, or a damaged one (it starts with {data[:8]!r})")


def _as_stored(data: bytes, path: str, channels: int) -> ImageArray:
    if data[:4] in TIFF:
        return _from_tiff(data, path, channels)
    image = _opencv(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise _undecodable(data, path)
    if image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA, dst=image)
    return image


def _from_tiff(data: bytes, path: str, channels: int) -> ImageArray:
    """OpenCV reads at most 4 channels of a TIFF; satellites and microscopes write more."""
    try:
        import tifffile
    except ImportError as error:
        raise DataError(
            f"{path}: a TIFF of {channels} channels needs tifffile: pip install 'resnet-tl[tiff]'"
        ) from error
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            shape = file.series[0].shape
            # A page may be listed thousands of times: what is not this many channels is not decoded.
            image = file.asarray() if channels in shape[:1] + shape[2:] else np.empty((0, *shape))
    except (ValueError, TypeError, OSError, LookupError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: a damaged image ({error})") from error
    planes_first = image.ndim == 3 and image.shape[0] == channels != image.shape[2]
    return np.moveaxis(image, 0, 2) if planes_first else image


def _is_rotated(data: bytes) -> bool:
    """Whether the EXIF orientation swaps height and width."""
    from resnet_tl.data.images.pillow import exif_orientation

    return exif_orientation(data, "") >= 5
