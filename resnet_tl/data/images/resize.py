"""Resizing as Pillow does it: a filter that widens as the picture shrinks, so that fine patterns do not turn into
others. Published weights were trained on such pictures; OpenCV's linear resize reads only 2 x 2 pixels for each.

torch's antialiased kernels do the same, four times as fast (uint8 with AVX2): of random bytes 0.5 % differ by 1.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from resnet_tl.data.images.decode import Picture

Interpolation = Literal["bilinear", "bicubic", "nearest"]


def resize(picture: Picture, height: int, width: int, interpolation: Interpolation = "bilinear") -> Picture:
    """`[H, W, C]` uint8 or uint16 -> `[height, width, C]`, of the same dtype."""
    if picture.shape[:2] == (height, width):
        return picture
    if interpolation == "nearest":
        rows, columns = _nearest(picture.shape[0], height), _nearest(picture.shape[1], width)
        return picture[rows[:, None], columns]
    if picture.dtype == np.uint8:
        return _antialiased(picture, height, width, interpolation)
    result = _antialiased(picture.astype(np.float32), height, width, interpolation)
    return result.round().clip(0, np.iinfo(picture.dtype).max).astype(picture.dtype)


def resize_fast(picture: Picture, height: int, width: int, interpolation: Interpolation = "bilinear") -> Picture:
    """`resize` in half the time, for training: down to half the size OpenCV's linear resize still reads every pixel."""
    if interpolation != "bilinear" or picture.shape[0] > 2 * height or picture.shape[1] > 2 * width:
        return resize(picture, height, width, interpolation)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)


def resize_short(picture: Picture, short: int, interpolation: Interpolation = "bilinear") -> Picture:
    """The same picture with a short side of `short` pixels; the long one rounds down, as torchvision's Resize does."""
    height, width = picture.shape[:2]
    if height <= width:
        return resize(picture, short, int(short * width / height), interpolation)
    return resize(picture, int(short * height / width), short, interpolation)


def _antialiased(picture: Picture, height: int, width: int, mode: str) -> Picture:
    batch = torch.from_numpy(picture)[None].permute(0, 3, 1, 2)  # in this order torch sees that it is channels-last
    return F.interpolate(batch, (height, width), mode=mode, antialias=True).permute(0, 2, 3, 1)[0].numpy()


def _nearest(have: int, want: int) -> np.ndarray:
    return ((np.arange(want) + 0.5) * have / want).astype(np.int64)
