"""Every image of a set read once: whether it can be decoded, how large it is, what it looks like in 64 bits."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from resnet_tl.data.images.decode import ImageArray, decode_bytes, read_bytes
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError

THUMBNAIL = 16
"""Pixels a side of what near-duplicates are compared by."""
LARGEST_ASPECT = 4.0
"""Width to height, or height to width, beyond which an image is named, unless a twentieth of the set is like that."""
SMALLEST_SHARE = 8.0
"""An image is small if its short side is shorter than the median of the set by this factor."""
RARE = 0.05
"""What an image has that is unusual is named, if no larger share of the set has it."""


class Look(NamedTuple):
    """An image as it was read.

    size: (h, w) upright. mode: `plain`, `in CMYK`, ... digest: of the file's bytes. perceptual: 64 bits that
    are nearly the same for images that look alike (imagehash's phash). thumbnail: `[16, 16]` uint8.
    """

    key: str
    path: str
    split: str
    size: tuple[int, int]
    mode: str
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
    """Decodes all images of all splits on all cores; `progress(done, total)` is called after each.

    An image that is in several splits is read for each of them.
    """
    samples = [(split, sample.key, sample.path) for split, listing in listings.items() for sample in listing]
    looks: list[Look] = []
    unreadable: list[Unreadable] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, found in enumerate(pool.map(partial(_look, channels=channels), samples), 1):
            if isinstance(found, Look):
                looks.append(found)
            else:
                unreadable.append(found)
            progress(done, len(samples))
    return looks, unreadable


def unreadable_images(unreadable: list[Unreadable]) -> Iterator[Finding]:
    for image in unreadable:
        reason = image.reason.removeprefix(f"{image.path}: ")
        yield Finding("unreadable", image.split, image.path, reason, exclude=image.key)


def unusual_images(looks: list[Look]) -> Iterator[Finding]:
    """Modes that few images of the set have, extreme aspect ratios, and images far smaller than the others."""
    if not looks:
        return
    sizes = np.array([look.size for look in looks], np.float64)
    aspects, short = sizes.max(1) / sizes.min(1), sizes.min(1)
    long_ones, typical = aspects > LARGEST_ASPECT, float(np.median(short))
    modes, counts = np.unique([look.mode for look in looks], return_counts=True)
    rare = {mode for mode, count in zip(modes.tolist(), counts, strict=True) if count <= RARE * len(looks)}
    for look, aspect, side in zip(looks, aspects, short, strict=True):
        height, width = look.size
        if look.mode in rare:
            yield Finding("unusual mode", look.split, look.path, f"is {look.mode}, unlike most others")
        if aspect > LARGEST_ASPECT and long_ones.mean() <= RARE:
            yield Finding("unusual aspect", look.split, look.path, f"is {width} x {height} pixels")
        if side * SMALLEST_SHARE < typical:
            text = f"is {width} x {height} pixels; the median short side is {typical:.0f}"
            yield Finding("unusual size", look.split, look.path, text)


def _look(sample: tuple[str, str, str], channels: int) -> Look | Unreadable:
    split, key, path = sample
    try:
        data = read_bytes(path)
        image = decode_bytes(data, path, channels)
    except DataError as error:
        return Unreadable(key, path, split, str(error))
    digest = blake2b(data, digest_size=16).digest()
    size = (image.shape[0], image.shape[1])
    return Look(key, path, split, size, _mode(data, image), digest, _perceptual(image), _grey(image, THUMBNAIL))


def _mode(data: bytes, image: ImageArray) -> str:
    """What decoding would change without a word, or `plain`: grey images among colour ones are."""
    if image.dtype == np.uint16:
        return "of 16 bits"
    try:
        with Image.open(io.BytesIO(data)) as header:
            if header.mode == "CMYK":
                return "in CMYK"
            if header.mode in ("RGBA", "LA", "PA") and header.getextrema()[-1][0] < 255:
                return "partly transparent"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "plain"
    return "plain"


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
