"""Images in memory: arrays, tensors, Pillow's images."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import DataError


def as_array(image: Any, index: int, channels: int) -> ImageArray:
    """Returns an image in memory as `[H, W, channels]` uint8 or uint16, contiguous and writable.

    - An array: `[H, W, C]`, or `[H, W]` grey; any strides (`bgr[..., ::-1]`).
    - A tensor: `[C, H, W]` or `[H, W, C]`, distinguished by the number of channels, or `[H, W]`; on any device.
    - A Pillow image of any mode, its EXIF rotation applied.

    Values are uint8, uint16, or floats from 0 to 1. Where the network takes 1 or 3 channels, grey is repeated, colour
    becomes grey, and a fourth channel is dropped as transparency, as for files.

    Args:
        index: position among the images predicted, for errors.

    Raises:
        DataError: another kind of object, a wrong shape, type or range, or a tensor whose layout is ambiguous.
    """
    if isinstance(image, Image.Image):
        array = _from_pillow(image, index)
    elif isinstance(image, torch.Tensor):
        array = _channels_last(image.detach().cpu().numpy(), index, channels)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise DataError(
            f"input {index} is a {type(image).__name__}; expected a path, bytes, an array, a tensor or a Pillow image"
        )
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape or not _fits(array.shape[2], channels):
        grey = "" if channels not in (1, 3) else ", or grey (height, width)"
        raise DataError(f"array {index} has the shape {image_shape(image)}, expected (height, width, {channels}){grey}")
    array = _with_channels(_as_integers(array, index), channels)
    return array if array.flags.c_contiguous and array.flags.writeable else array.copy()


def image_shape(image: Any) -> tuple[int, ...]:
    return tuple(image.shape) if hasattr(image, "shape") else (image.height, image.width)


def _from_pillow(image: Image.Image, index: int) -> ImageArray:
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        return np.asarray(upright)
    if upright.mode.startswith("I"):
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"image {index} has values from {values.min()} to {values.max()}, expected 0 to 65535")
        return values.astype(np.uint16)
    return np.asarray(upright if upright.mode in ("L", "RGB") else upright.convert("RGB"))


def _channels_last(array: ImageArray, index: int, channels: int) -> ImageArray:
    if array.ndim != 3:
        return array
    first, last = _fits(array.shape[0], channels), _fits(array.shape[2], channels)
    if first and last:
        raise DataError(
            f"tensor {index} has the shape {array.shape}, which may be (channels, height, width) or (height, width, "
            "channels); give an array (height, width, channels) instead"
        )
    return array.transpose(1, 2, 0) if first else array


def _fits(count: int, channels: int) -> bool:
    return count in (1, 3, 4) if channels in (1, 3) else count == channels


def _as_integers(array: ImageArray, index: int) -> ImageArray:
    if array.dtype in (np.uint8, np.uint16):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"array {index} is {array.dtype}, expected uint8, uint16, or floats from 0 to 1")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise DataError(f"array {index} has floats from {low:g} to {high:g}, expected 0 to 1, or uint8 (0 to 255)")
    return (array.astype(np.float32) * 255).round().astype(np.uint8)


def _with_channels(array: ImageArray, channels: int) -> ImageArray:
    """Drops transparency, repeats grey, and makes colour grey by the weights of decoding (ITU-R BT.601)."""
    if channels not in (1, 3) or array.shape[2] == channels:
        return array
    colour = array[..., :3]
    if channels == 3:
        return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour
    return cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_RGB2GRAY)[..., None]
