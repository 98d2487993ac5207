"""Decoded, resized images of a set in one memory-mapped file: decode once, train for many epochs.

Each image is stored with the short side that evaluation resizes to (never enlarged), so evaluation sees exactly the
bytes it would see without a cache. Training takes its random crops from these smaller images: a crop with fewer pixels
than the network's input is enlarged, and a little softer than the same crop of the file.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnet_tl.data.images.content_digest import content_digest
from resnet_tl.data.images.decode import ImageArray, decode_bytes, read_bytes
from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.resize import Interpolation, resize_short
from resnet_tl.errors import DataError, RunError
from resnet_tl.files import atomic_create
from resnet_tl.structures.records import Sample

MAGIC = b"resnet_tl images 2\n"
ROW = np.dtype(
    [("offset", "<i8"), *((name, "<i4") for name in ("h", "w", "c", "file_h", "file_w", "bits")), ("crc", "<u4")]
)
"""One image: the offset of its bytes, its size, the size of the file, 8 or 16 bits (0: it could not be decoded), and
the CRC-32 of its bytes."""
TAIL = 16 + len(MAGIC)
"""The file: images, each padded to 8 bytes; N sorted hash64 of keys; N rows; and as its tail N, the CRC-32 of keys and
rows, and MAGIC."""
DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
CHUNK = 256
"""Images decoded before they are written, which bounds the memory used."""

log = logging.getLogger("resnet_tl")


@dataclass(frozen=True)
class CacheFormat:
    """How images are stored: the short side in pixels, the interpolation of the resize, the channels."""

    short: int
    interpolation: Interpolation = "bilinear"
    channels: int = 3


def cache_folder(cache_dir: str | None) -> Path:
    """Returns the folder of caches: `data.cache_dir`, or by default that of the user."""
    return Path(cache_dir or os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/resnet_tl").expanduser()


def open_cache(listings: Iterable[Iterable[Sample]], cache_format: CacheFormat, folder: Path) -> ImageCache | None:
    """Opens the cache of these images in `folder`; writes it first where it does not exist.

    Its name is a hash over the content of every file and `cache_format`: a changed image gives another cache, and the
    old one may be deleted. Images that cannot be decoded have no pixels in it. Any number of processes may call this at
    the same time: each writes a file of its own, and only whole ones take the name.

    Returns:
        The cache, or None after a warning where the disk is full or the folder cannot be written to.
    """
    paths = dict(sorted((sample.key, sample.path) for listing in listings for sample in listing))
    identity = json.dumps([MAGIC.decode(), vars(cache_format), content_digest(paths, folder)])
    path = folder / f"{hash64(identity):016x}.images"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _check_room(path, paths, cache_format)
            _write(path, paths, cache_format)
        return ImageCache(path)
    except OSError as error:
        warnings.warn(f"{path}: not written ({error.strerror}); images are decoded in every epoch", stacklevel=2)
        return None


class ImageCache:
    """Images by key. The index is memory-mapped as well, so all processes share one copy of everything.

    The index is compared with its checksum when the file is opened, an image when it is first read.

    Raises:
        DataError: the index is damaged, or this is no image cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size < TAIL:
            raise DataError(f"{path}: damaged, or not an image cache; delete it")
        # Copy-on-write, because torch warns about read-only arrays; nothing writes to them.
        self._bytes = np.asarray(np.memmap(path, np.uint8, mode="c"))
        count, crc = self._bytes[-TAIL : -len(MAGIC)].view("<i8").tolist()
        index = len(self._bytes) - TAIL - count * (8 + ROW.itemsize)
        whole = 0 <= count <= len(self._bytes) and index >= 0 and zlib.crc32(self._bytes[index:-TAIL].data) == crc
        if self._bytes[-len(MAGIC) :].tobytes() != MAGIC or not whole:
            raise DataError(f"{path}: damaged, or not an image cache; delete it")
        self._keys = self._bytes[index : index + 8 * count].view("<u8")
        self._rows = self._bytes[index + 8 * count : -TAIL].view(ROW)
        self._verified = np.zeros(count, bool)

    def __reduce__(self) -> tuple[type[ImageCache], tuple[Path]]:
        return ImageCache, (self.path,)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> tuple[ImageArray, tuple[int, int]] | None:
        """Returns (`[H, W, C]`, (h, w) of the file) for the image with this key; None if it could not be decoded.

        Raises:
            RunError: the image is damaged. Not a DataError, with which `on_error: skip` would drop a good image.
        """
        row = self._keys.searchsorted(np.uint64(hash64(key)))
        offset, height, width, channels, file_height, file_width, bits, crc = self._rows[row].item()
        if bits == 0:
            return None
        stored = self._bytes[offset : offset + height * width * channels * bits // 8]
        if not self._verified[row] and zlib.crc32(stored.data) != crc:
            raise RunError(
                f"{self.path}: damaged: {key} does not match its checksum; delete it, and it is written again"
            )
        self._verified[row] = True
        return stored.view(DTYPES[bits]).reshape(height, width, channels), (file_height, file_width)


def _resized(path: str, cache_format: CacheFormat) -> tuple[ImageArray, tuple[int, int]] | None:
    """Returns an image as it is stored, and the file's (h, w); None if it cannot be decoded."""
    try:
        image = decode_bytes(read_bytes(path), path, cache_format.channels)
    except DataError:
        return None
    original = image.shape[:2]
    if min(original) > cache_format.short:
        image = resize_short(image, cache_format.short, cache_format.interpolation)
    return np.ascontiguousarray(image), original


def _check_room(path: Path, paths: dict[str, str], cache_format: CacheFormat) -> None:
    """Estimates the size from 32 of the images and logs it; raises OSError where the disk has no room for it."""
    probed = list(paths.values())[:: max(1, len(paths) // 32)]
    sizes = [resized[0].nbytes for resized in (_resized(each, cache_format) for each in probed) if resized]
    expected = int(np.mean(sizes or [0])) * len(paths)
    if shutil.disk_usage(path.parent).free < expected:
        raise OSError(errno.ENOSPC, f"about {expected / 1e6:.0f} MB are needed, more than the disk has free")
    log.info(f"Writing {len(paths)} resized images, about {expected / 1e6:.0f} MB, to {path}")


def _write(path: Path, paths: dict[str, str], cache_format: CacheFormat) -> None:
    with atomic_create(path) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        _write_images(file, paths, cache_format, pool)


def _write_images(file: BinaryIO, paths: dict[str, str], cache_format: CacheFormat, pool: ThreadPoolExecutor) -> None:
    rows = np.zeros(len(paths), ROW)
    files = list(paths.values())
    for start in range(0, len(files), CHUNK):
        chunk = pool.map(lambda path: _resized(path, cache_format), files[start : start + CHUNK])
        for row, resized in enumerate(chunk, start):
            if resized:
                image, original = resized
                rows[row] = (file.tell(), *image.shape, *original, 8 * image.itemsize, zlib.crc32(image.data))
                file.write(image.data)
                file.write(bytes(-file.tell() % 8))
    keys = np.array([hash64(key) for key in paths], "<u8")
    order = np.argsort(keys)
    index = keys[order].tobytes() + rows[order].tobytes()
    file.write(index)
    file.write(np.array([len(rows), zlib.crc32(index)], "<i8").tobytes())
    file.write(MAGIC)
