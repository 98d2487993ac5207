"""Every image of a set read once: whether it can be decoded, how large it is, what it looks like in 64 bits."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from resnet_tl.data.images.crops import reduction
from resnet_tl.data.images.decode import ImageArray, decode_bytes, jpeg_size, read_bytes
from resnet_tl.data.images.pillow import ERRORS, open_image
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError, RunError

STDERR = 2
CORRUPT = "Corrupt JPEG data: "
"""How libjpeg's warnings begin."""
ENOUGH = 64
"""Pixels of the short side that are enough to compare images; JPEGs are decoded at a fraction of their size."""
THUMBNAIL = 16
"""Pixels a side of what near-duplicates are compared by."""
LARGEST_ASPECT = 4.0
"""Width to height, or height to width, beyond which an image is named, unless a twentieth of the set is like that."""
OUTLYING = 8.0
"""The short side of an image of unusual size is shorter or longer than the median of the set by this factor."""
RARE = 0.05
"""What an image has that is unusual is named, if no larger share of the set has it."""


class Look(NamedTuple):
    """An image as it was read.

    size: (h, w) upright. mode: `plain`, `in CMYK`, ... orientation: EXIF's, 1 (upright) to 8. damage: what the decoder
    warned of, although it returned an image. digest: of the file's bytes. perceptual: 64 bits that are nearly the same
    for images that look alike (imagehash's phash). thumbnail: `[16, 16]` uint8.
    """

    key: str
    path: str
    split: str
    size: tuple[int, int]
    mode: str
    orientation: int
    damage: str
    digest: bytes
    perceptual: int
    thumbnail: np.ndarray


class Unreadable(NamedTuple):
    key: str
    path: str
    split: str
    reason: str


def look_at(
    listings: Mapping[str, Listing], channels: int, progress: Callable[[int, int], None]
) -> tuple[list[Look], list[Unreadable]]:
    """Decodes all images of all splits in a process per core; `progress(done, total)` is called after each.

    An image that is in several splits is read for each of them.

    Raises:
        RunError: one of the processes was killed.
    """
    samples = [(split, sample.key, sample.path) for split, listing in listings.items() for sample in listing]
    looks: list[Look] = []
    unreadable: list[Unreadable] = []
    try:
        with ProcessPoolExecutor(os.cpu_count(), initializer=_start) as pool:
            for done, found in enumerate(pool.map(partial(_look, channels=channels), samples, chunksize=8), 1):
                if isinstance(found, Look):
                    looks.append(found)
                else:
                    unreadable.append(found)
                progress(done, len(samples))
    except BrokenProcessPool:
        raise RunError(
            f"a process that decodes images was killed, probably for lack of memory, after {len(looks)} of "
            f"{len(samples)} images; expected memory for {os.cpu_count()} images at a time"
        ) from None
    return looks, unreadable


def unreadable_images(unreadable: list[Unreadable]) -> Iterator[Finding]:
    for image in unreadable:
        reason = image.reason.removeprefix(f"{image.path}: ")
        yield Finding("unreadable", image.split, image.path, reason, exclude=image.key)


def damaged_images(looks: list[Look]) -> Iterator[Finding]:
    """Images that decoders repair without a word: part of what they show is grey or noise."""
    for look in looks:
        if look.damage:
            yield Finding("damaged", look.split, look.path, f"is damaged ({look.damage})", exclude=look.key)


def unusual_images(looks: list[Look]) -> Iterator[Finding]:
    """Modes and EXIF rotations that few images of the set have, extreme aspect ratios, and images far smaller than the
    others."""
    if not looks:
        return
    sizes = np.array([look.size for look in looks], np.float64)
    aspects, short = sizes.max(1) / sizes.min(1), sizes.min(1)
    typical = float(np.median(short))
    modes = Counter(look.mode for look in looks)
    rotated_few = is_rare(sum(look.orientation > 1 for look in looks), len(looks))
    long_few = is_rare(int((aspects > LARGEST_ASPECT).sum()), len(looks))
    for look, aspect, side in zip(looks, aspects, short, strict=True):
        height, width = look.size
        if look.mode != "plain" and is_rare(modes[look.mode], len(looks)):
            yield Finding("unusual mode", look.split, look.path, f"is {look.mode}, unlike most others")
        if look.orientation > 1 and rotated_few:
            text = f"is rotated by its EXIF data (orientation {look.orientation}), unlike most others"
            yield Finding("EXIF rotation", look.split, look.path, text)
        if aspect > LARGEST_ASPECT and long_few:
            yield Finding("unusual aspect", look.split, look.path, f"is {width} x {height} pixels")
        if max(side, typical) > OUTLYING * min(side, typical):
            text = f"is {width} x {height} pixels; the median short side is {typical:.0f}"
            yield Finding("unusual size", look.split, look.path, text)


def is_rare(count: int, total: int) -> bool:
    """Whether so few of all have something that they are named; a single one always is."""
    return count <= max(RARE * total, 1)


def _start() -> None:
    """Makes a worker process: one core, and a file for what C libraries print, as libjpeg reports broken data."""
    cv2.setNumThreads(0)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)


def _warnings() -> str:
    """Returns the first line that was printed since the last call."""
    text = os.pread(STDERR, 1000, 0).decode(errors="replace")
    os.ftruncate(STDERR, 0)
    os.lseek(STDERR, 0, os.SEEK_SET)
    return text.strip().partition("\n")[0]


def _look(sample: tuple[str, str, str], channels: int) -> Look | Unreadable:
    split, key, path = sample
    _warnings()
    try:
        data = read_bytes(path)
        size = jpeg_size(data)
        image = decode_bytes(data, path, channels, 1 if size is None else reduction(min(size), ENOUGH))
    except DataError as error:
        return Unreadable(key, path, split, str(error))
    warned = _warnings()
    damage = warned.removeprefix(CORRUPT) if warned.startswith(CORRUPT) else ""
    height, width = size or image.shape[:2]
    mode, orientation = _header(data, path, image)
    digest, thumbnail = blake2b(data, digest_size=16).digest(), _grey(image, THUMBNAIL)
    perceptual = _perceptual(image)
    return Look(key, path, split, (height, width), mode, orientation, damage, digest, perceptual, thumbnail)


def _header(data: bytes, path: str, image: ImageArray) -> tuple[str, int]:
    """Returns what decoding would change without a word, or `plain` (grey images among colour ones are), and the EXIF
    orientation."""
    mode, orientation = "plain", 1
    try:
        with open_image(data, path) as header:
            orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
            if header.mode == "CMYK":
                mode = "in CMYK"
            if header.mode in ("RGBA", "LA", "PA") and header.getextrema()[-1][0] < 255:
                mode = "partly transparent"
    except ERRORS:
        pass
    return "of 16 bits" if image.dtype == np.uint16 else mode, orientation if orientation in range(2, 9) else 1


def _grey(image: ImageArray, side: int) -> np.ndarray:
    small = cv2.resize(image[..., :3], (side, side), interpolation=cv2.INTER_AREA).reshape(side, side, -1)
    grey = small.astype(np.float64).mean(2)
    return (grey / (257 if image.dtype == np.uint16 else 1)).round().astype(np.uint8)


def _perceptual(image: ImageArray) -> int:
    import imagehash

    hashed = imagehash.phash(Image.fromarray(_grey(image, 32)))
    return int("".join("1" if bit else "0" for bit in hashed.hash.ravel()), 2)


def is_flat(look: Look) -> bool:
    """Whether nearly nothing is on the image: flat images all look alike."""
    return math.isclose(float(look.thumbnail.std()), 0, abs_tol=2)
