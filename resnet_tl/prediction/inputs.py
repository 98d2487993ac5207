"""What `predict` takes: files, folders, zips, globs and arrays, listed as single images and decoded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from resnet_tl.data.images.classification_dataset import decode_for
from resnet_tl.data.images.crops import Seed
from resnet_tl.data.images.decode import ImageArray
from resnet_tl.data.images.transforms import Transform
from resnet_tl.data.sources.files import find_images
from resnet_tl.errors import DataError

Source: TypeAlias = "str | Path | ImageArray"
"""A file, folder, zip or glob, or an image: `[H, W, C]` uint8 or uint16, RGB."""

SEED: Seed = (0,)
"""For listed transforms that draw random numbers, so that every prediction is repeatable."""


def list_images(inputs: Source | Iterable[Source]) -> list[Source]:
    """Lists the images of `inputs`, in order: files by path, arrays as they are; `[N, H, W, C]` is N images.

    Raises:
        DataError: nothing exists at a path, or no image is in it.
    """
    if isinstance(inputs, (str, Path)) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4):
        inputs = [inputs]
    images: list[Source] = []
    for source in inputs:
        images.extend([source] if isinstance(source, np.ndarray) else find_images([source]))
    return images


def decode_input(
    source: Source, index: int, transform: Transform, channels: int, reduce: bool = False
) -> tuple[ImageArray, tuple[int, int]]:
    """Returns an image `[H, W, C]` and the (h, w) that its file has.

    Args:
        index: position among the images predicted, for the error about an array.
        reduce: decode a JPEG at a fraction of its size, where `transform` needs no more.

    Raises:
        DataError: a missing or damaged file, an array of a wrong shape or type.
    """
    if isinstance(source, np.ndarray):
        image = check_array(source, index, channels)
        return image, image.shape[:2]
    return decode_for(transform, str(source), channels, SEED, reduce)


def check_array(array: ImageArray, index: int, channels: int) -> ImageArray:
    """Returns an array as `[H, W, C]`; for one channel it may come as `[H, W]`.

    Raises:
        DataError: any other shape or type.
    """
    if array.ndim == 2 and channels == 1:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] != channels or 0 in array.shape:
        raise DataError(f"array {index} has the shape {array.shape}, expected (height, width, {channels})")
    if array.dtype not in (np.uint8, np.uint16):
        raise DataError(f"array {index} is {array.dtype}, expected uint8 (0 to 255) or uint16 (0 to 65535)")
    return array
