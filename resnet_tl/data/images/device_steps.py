"""The steps of `Deferred` images on a device: crops, resizing, mirroring, padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.data.images.deferred import Crop, Mirror, Pad, Reflect, Resize, Step
from resnet_tl.data.images.device_tensors import to_bytes, upload

MOST_SHRUNK = 40
"""Beyond this factor CUDA's antialiased kernels may find too little shared memory (from 47 for bicubic)."""


def change_shape(image: Tensor, steps: Sequence[Step]) -> Tensor:
    """Applies the steps to `[C, H, W]` uint8.

    Returns it as fp32 where it was resized: `to_bytes` is left to the caller, who has the whole batch, as is padding.
    """
    for step in steps:
        if isinstance(step, Crop):
            image = image[:, step.top : step.top + step.height, step.left : step.left + step.width]
        elif isinstance(step, Resize):
            image = resize(image, step)
        elif isinstance(step, Mirror):
            image = image.flip(2)
        elif isinstance(step, Reflect):
            image = F.pad(image.float(), [step.pad] * 4, mode="reflect")
        else:
            assert isinstance(step, Pad), step
    return image


def resize(image: Tensor, step: Resize) -> Tensor:
    """Resizes in fp32. The integers of OpenCV and torch, by which workers resize, differ by 1 of 255 once rounded."""
    if step.interpolation == "nearest":
        rows, columns = (_nearest(image, axis, side) for axis, side in ((1, step.height), (2, step.width)))
        return image[:, rows[:, None], columns]
    if image.is_cuda and max(image.shape[1] / step.height, image.shape[2] / step.width) > MOST_SHRUNK:
        return resize(image.cpu(), step).to(image.device)
    if step.interpolation == "bicubic":  # it overshoots, which torch's integers cut off after each axis
        image = to_bytes(_interpolated(image, image.shape[1], step.width, step))
    return _interpolated(image, step.height, step.width, step)


def turn_upright(image: Tensor, orientation: int) -> Tensor:
    """Applies EXIF's orientation, 1 to 8, to `[C, H, W]`."""
    if orientation >= 5:
        image = image.transpose(1, 2)
    flipped = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(orientation)
    return image.flip(flipped) if flipped else image


def _interpolated(image: Tensor, height: int, width: int, step: Resize) -> Tensor:
    return F.interpolate(image[None].float(), (height, width), mode=step.interpolation, antialias=step.antialias)[0]


def _nearest(image: Tensor, axis: int, resized: int) -> Tensor:
    places = (torch.arange(resized, dtype=torch.float64) + 0.5) * image.shape[axis] / resized
    return upload(places.long(), image.device, torch.int64)
