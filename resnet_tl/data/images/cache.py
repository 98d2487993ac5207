"""Decoded, resized images of a set in one memory-mapped file: decode once, train for many epochs.

Kept is each image with the short side that evaluation wants (never enlarged), so that evaluation sees the very bytes
it would see without a cache. Training cuts its random areas from these smaller images: where an area has fewer pixels
than the network's input it is enlarged and a little softer than one cut from the file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnet_tl.data.images.archive import hash64
from resnet_tl.data.images.content_digest import content_digest
from resnet_tl.data.images.decode import ImageArray, decode_bytes, read_bytes
from resnet_tl.data.images.resize import Interpolation, resize_short
from resnet_tl.errors import DataError
from resnet_tl.files import atomic_create
from resnet_tl.structures.records import Sample

MAGIC = b"resnet_tl images 1\n"
ROW = np.dtype([("offset", "<i8"), *((name, "<i4") for name in ("h", "w", "c", "file_h", "file_w", "bits"))])
"""One image: where its bytes begin, its size, the size of the file, 8 or 16 bits (0: it could not be decoded)."""
TAIL = 8 + len(MAGIC)
"""The file: images, each padded to 8 bytes, N sorted hash64 of keys, N rows; at its tail N itself and MAGIC."""
DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
CHUNK = 256
"""Images decoded before they are written: what lies in memory at once."""


@dataclass(frozen=True)
class CacheFormat:
    """What is kept of an image: its short side in pixels, how it was resized, its channels."""

    short: int
    interpolation: Interpolation = "bilinear"
    channels: int = 3


def open_cache(
    listings: Iterable[Iterable[Sample]], form: CacheFormat, folder: Path, say: Callable[[str], None] = print
) -> ImageCache | None:
    """The cache of these images in `folder`, written first where it is not there.

    Its name is a hash of every file's content and of `form`: an image that changes means another cache, and the old
    one may be deleted. Images that cannot be decoded are left out of it. Any number of processes may ask at once:
    each writes a file of its own, and whole ones only take the name.

    Returns:
        The cache, or None after a warning where the disk has no room or the folder takes no files.
    """
    paths = dict(sorted((sample.key, sample.path) for listing in listings for sample in listing))
    named = json.dumps([MAGIC.decode(), vars(form), content_digest(paths, folder)])
    path = folder / f"{hash64(named):016x}.images"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _announce(path, paths, form, say)
            _write(path, paths, form)
        return ImageCache(path)
    except OSError as error:
        warnings.warn(f"{path}: not written ({error.strerror}); images are decoded in every epoch", stacklevel=2)
        return None


class ImageCache:
    """Images by key. Its index is memory-mapped as well, so that every process shares all of it.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Copy-on-write, because torch warns about arrays that cannot be written; nobody writes to them.
        self._bytes = np.asarray(np.memmap(path, np.uint8, mode="c"))
        if self._bytes[-len(MAGIC) :].tobytes() != MAGIC:
            raise DataError(f"{path}: damaged, or no cache of images; delete it")
        rows = len(self._bytes) - TAIL - int(self._bytes[-TAIL : -len(MAGIC)].view("<i8")[0]) * ROW.itemsize
        self._rows = self._bytes[rows:-TAIL].view(ROW)
        self._keys = self._bytes[rows - 8 * len(self._rows) : rows].view("<u8")

    def __reduce__(self) -> tuple[type[ImageCache], tuple[Path]]:
        return ImageCache, (self.path,)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> tuple[ImageArray, tuple[int, int]] | None:
        """(`[H, W, C]`, (h, w) of the file) of the image with this key; None when it could not be decoded."""
        row = self._keys.searchsorted(np.uint64(hash64(key)))
        offset, height, width, channels, file_height, file_width, bits = self._rows[row].item()
        if bits == 0:
            return None
        end = offset + height * width * channels * bits // 8
        image = self._bytes[offset:end].view(DTYPES[bits]).reshape(height, width, channels)
        return image, (file_height, file_width)


def _kept(path: str, form: CacheFormat) -> tuple[ImageArray, tuple[int, int]] | None:
    """An image as it is kept, and the file's (h, w)."""
    try:
        image = decode_bytes(read_bytes(path), path, form.channels)
    except DataError:
        return None
    original = image.shape[:2]
    if min(original) > form.short:
        image = resize_short(image, form.short, form.interpolation)
    return np.ascontiguousarray(image), original


def _announce(path: Path, paths: dict[str, str], form: CacheFormat, say: Callable[[str], None]) -> None:
    """The size before it is written, from 32 images of all; no room for it is an OSError."""
    every = list(paths.values())[:: max(1, len(paths) // 32)]
    sizes = [kept[0].nbytes for kept in (_kept(each, form) for each in every) if kept]
    about = int(np.mean(sizes or [0])) * len(paths)
    if shutil.disk_usage(path.parent).free < about:
        raise OSError(errno.ENOSPC, f"about {about / 1e6:.0f} MB are needed, more than the disk has room for")
    say(f"Writing {len(paths)} resized images, about {about / 1e6:.0f} MB, to {path}")


def _write(path: Path, paths: dict[str, str], form: CacheFormat) -> None:
    with atomic_create(path) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        _fill(file, paths, form, pool)


def _fill(file: BinaryIO, paths: dict[str, str], form: CacheFormat, pool: ThreadPoolExecutor) -> None:
    rows = np.zeros(len(paths), ROW)
    every = list(paths.values())
    for start in range(0, len(every), CHUNK):
        for row, kept in enumerate(pool.map(lambda path: _kept(path, form), every[start : start + CHUNK]), start):
            if kept:
                image, original = kept
                rows[row] = (file.tell(), *image.shape, *original, 8 * image.itemsize)
                file.write(image.data)
                file.write(bytes(-file.tell() % 8))
    keys = np.array([hash64(key) for key in paths], "<u8")
    order = np.argsort(keys)
    for part in (keys[order], rows[order], np.array([len(rows)], "<i8")):
        file.write(part.tobytes())
    file.write(MAGIC)
