"""Decoding: a file's bytes as an upright RGB image `[H, W, C]`, uint8 or uint16. Every error names the path."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resnet_tl.data.images.archive import open_archive, split_path
from resnet_tl.errors import DataError

ImageArray = npt.NDArray[Any]
"""`[H, W, C]`, uint8 (0...255) or uint16 (0...65535)."""

REDUCED = {1: 0, 2: 16, 4: 32, 8: 64}
"""OpenCV's bits of IMREAD_REDUCED_*, with which libjpeg decodes at 1/2, 1/4, 1/8 of the size."""


def decode(path: str, channels: int = 3, reduce: int = 1) -> ImageArray:
    """Reads an image from a file or from a member of a zip (`photos.zip/cat/1.jpg`).

    Args:
        path: JPEG, PNG, WebP, GIF (the first frame), BMP, TIFF, PNM, JPEG 2000, AVIF (where OpenCV has it), or `.npy`.
        channels: 3: RGB, grey repeated; 1: grey. Any other number, and every `.npy`: as stored, after checking the
            count (a TIFF by tifffile, channels last or one a page).
        reduce: 2, 4 or 8 decodes a JPEG at that fraction of its size (rounded up), which is cheaper; other formats
            ignore it.

    16-bit files stay 16-bit. The EXIF rotation is applied. Transparency is dropped (TIFF: overlaid on black).

    Raises:
        DataError: the file is missing, empty, truncated, not an image, or has another number of channels.
    """
    return decode_bytes(read_bytes(path), path, channels, reduce)


def read_bytes(path: str, first: int = -1, *, allow_empty: bool = False) -> bytes:
    """Returns the content of a file (at most its `first` bytes) or of a member of a zip.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    inside = split_path(path)
    try:
        data = open_archive(inside[0]).read(inside[1]) if inside else _read_file(path, first)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({os.strerror(error.errno or 0).lower()})") from error
    if not data and not allow_empty:
        raise DataError(f"{path}: the file is empty; expected an image")
    return data


def decode_bytes(data: bytes, path: str, channels: int = 3, reduce: int = 1) -> ImageArray:
    """`decode` for bytes that have been read already; `path` is named in errors."""
    if data.startswith(b"\x93NUMPY"):
        image = _from_numpy(data, path)
    elif channels in (1, 3):
        image = _from_image(data, path, channels, reduce)
    else:
        image = _as_stored(data, path, channels)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] != channels:
        raise DataError(f"{path}: has the shape {image.shape}; expected height x width x {channels} channels")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: has {image.dtype} values; expected 8- or 16-bit images (uint8, uint16)")
    return image


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Returns (h, w) after the EXIF rotation, from a JPEG's header alone; None for other or damaged files."""
    frame = jpeg_segment(data, FRAMES) if data.startswith(b"\xff\xd8") else -1
    if frame < 0:
        return None
    height, width = struct.unpack(">HH", data[frame + 5 : frame + 9])
    return (width, height) if b"Exif\0" in data[:frame] and _is_rotated(data) else (height, width)


def _read_file(path: str, first: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall() if first < 0 else file.read(first)


def _from_image(data: bytes, path: str, channels: int, reduce: int) -> ImageArray:
    if data.startswith(b"\xff\xd8"):
        flags = REDUCED[reduce] | (cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)
        image = _opencv(data, flags) if _jpeg_ends(data) else None
    elif _needs_pillow(data):
        image = None
    else:
        image = _opencv(data, cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE))
        if image is not None and channels == 3:  # asked for RGB itself, OpenCV 5 scrambles a 16-bit TIFF
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return _from_pillow(data, path, channels) if image is None else image


def _opencv(data: bytes, flags: int) -> ImageArray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _needs_pillow(data: bytes) -> bool:
    """OpenCV before 4.12 cannot read GIF; before 5 it ignores the EXIF rotation of a WebP (VP8X, bit 3: has EXIF)."""
    return data.startswith(b"GIF8") or (data[8:16] == b"WEBPVP8X" and bool(data[20] & 0x08))


def _from_pillow(data: bytes, path: str, channels: int) -> ImageArray:
    """Decodes the formats that never exceed 8 bits a second time; Pillow's message becomes the reason in ours."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "GIF", "WEBP", "BMP")) as image:
            upright = ImageOps.exif_transpose(image)
            return np.array(upright.convert("RGB" if channels == 3 else "L"))
    except UnidentifiedImageError:
        raise _undecodable(data, path) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: a damaged image ({error})") from error


def _undecodable(data: bytes, path: str) -> DataError:
    if data.startswith((b"\x89PNG", b"BM", *TIFF)):
        return DataError(f"{path}: a damaged image")
    return DataError(f"{path}: not an image, or a damaged one (it starts with {data[:8]!r})")


def _from_numpy(data: bytes, path: str) -> ImageArray:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy array ({error})") from error


def _as_stored(data: bytes, path: str, channels: int) -> ImageArray:
    if data[:4] in TIFF:
        return _from_tiff(data, path, channels)
    image = _opencv(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise _undecodable(data, path)
    if image.ndim == 3 and image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA, dst=image)
    return image


TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _from_tiff(data: bytes, path: str, channels: int) -> ImageArray:
    """OpenCV reads at most 4 channels of a TIFF; satellites and microscopes write more."""
    try:
        import tifffile
    except ImportError as error:
        raise DataError(
            f"{path}: a TIFF of {channels} channels needs tifffile: pip install 'resnet-tl[tiff]'"
        ) from error
    try:
        image = tifffile.imread(io.BytesIO(data))
    except (ValueError, OSError, IndexError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: a damaged image ({error})") from error
    planes_first = image.ndim == 3 and image.shape[0] == channels != image.shape[2]
    return np.moveaxis(image, 0, 2) if planes_first else image


def _jpeg_ends(data: bytes) -> bool:
    """Whether the end-of-image marker follows the pixels (some versions of OpenCV silently fill up a truncated file).

    The search starts after the first scan, because a thumbnail in the header has such a marker too, and covers the rest
    of the file, because cameras append videos and further images.
    """
    if data.endswith(b"\xff\xd9"):
        return True
    scan = jpeg_segment(data, b"\xda")
    return scan >= 0 and data.find(b"\xff\xd9", scan) >= 0


FRAMES = bytes(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
"""Markers of the segments that hold a JPEG's size (ITU-T T.81, table B.1)."""


def jpeg_segment(data: bytes, markers: bytes) -> int:
    """Returns where the first segment with one of these markers begins; -1 where the header has none or is cut."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in markers:
            return position
        if marker == 0xDA:
            return -1
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 1 if marker == 0xFF else 2 + length  # 0xFF may be repeated as padding
    return -1


def _is_rotated(data: bytes) -> bool:
    """Whether the EXIF orientation swaps height and width."""
    from PIL import ExifTags, Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except (OSError, SyntaxError, ValueError):
        return False
