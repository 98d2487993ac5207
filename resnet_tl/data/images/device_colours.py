"""The later steps of the augmentation presets on a device, for all images of one size at once.

They get the parameters that albumentations has drawn, and do on bytes what it does with OpenCV, rounding included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.data.images.device_tensors import to_bytes, upload

Parameters = dict[str, Any]
"""Of one transform, by albumentations' names."""
Colours = dict[str, Parameters]
"""The drawn steps of one image: a transform's class -> its parameters."""


def change_colours(images: Tensor, drawn: Sequence[Colours]) -> Tensor:
    """Applies the steps that were drawn for each of N images `[N, C, H, W]` uint8, in the presets' order."""
    for name, step in STEPS.items():
        chosen = [number for number, colours in enumerate(drawn) if name in colours]
        if chosen:
            index = upload(chosen, images.device, torch.int64)
            images = images.index_copy(0, index, step(images[index], [drawn[number][name] for number in chosen]))
    return images


def affine(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Maps images by a `matrix` each, from old to new (x, y) of pixel centres; the outside is reflected."""
    height, width = images.shape[-2:]
    x, y = torch.arange(width, device=images.device), torch.arange(height, device=images.device)[:, None]
    inverse = _rows(images, [np.linalg.inv(each["matrix"])[:2] for each in parameters])[:, None, None]
    # Element by element: TF32, in which CUDA may multiply matrices, would round positions by tenths of a pixel.
    source = inverse[..., 0] * x[..., None] + inverse[..., 1] * y[..., None] + inverse[..., 2]  # [N, H, W, 2]
    grid = source * upload([2 / max(1, width - 1), 2 / max(1, height - 1)], images.device) - 1
    moved = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    return to_bytes(moved)


def brightness_contrast(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """`alpha * image + beta`, cut off after the point."""
    alpha, beta = (_each(images, [each[name] for each in parameters]) for name in ("alpha", "beta"))
    return (images.float() * alpha + beta).clamp(0, 255).to(torch.uint8)


def blur(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Convolves the columns and rows with a symmetric `kernel` of up to 7 values each; the outside is reflected."""
    longest = max(len(each["kernel"]) for each in parameters)
    kernels = [np.pad(each["kernel"], (longest - len(each["kernel"])) // 2) for each in parameters]
    weights = _rows(images, kernels)[:, :, None, None, None]  # [N, longest, 1, 1, 1]
    around = F.pad(images.float(), [longest // 2] * 4, mode="reflect")
    height, width = images.shape[-2:]
    rows = sum((weights[:, k] * around[..., k : k + width] for k in range(longest)), torch.zeros(()))
    return to_bytes(sum((weights[:, k] * rows[..., k : k + height, :] for k in range(longest)), torch.zeros(())))


def sharpen(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Correlates with a `sharpening_matrix` of 3 x 3 each; the outside is reflected."""
    weights = _rows(images, [each["sharpening_matrix"] for each in parameters])[..., None, None, None]
    around = F.pad(images.float(), [1] * 4, mode="reflect")
    height, width = images.shape[-2:]
    shifted = (
        weights[:, row, column] * around[..., row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    )
    return to_bytes(sum(shifted, torch.zeros(())))


def erase(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Fills `holes` (x1, y1, x2, y2) with a random colour each, drawn from `seed`."""
    images = images.clone()
    for image, each in zip(images, parameters, strict=True):
        rng = np.random.default_rng(each["seed"])
        for left, top, right, bottom in each["holes"].tolist():
            colour = rng.integers(0, 256, size=(1, len(image)), dtype=np.uint8)
            for channel, value in zip(image, colour[0].tolist(), strict=True):
                channel[top:bottom, left:right] = value
    return images


def erase_at_random(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Fills a `hole` (x1, y1, x2, y2) of each with random bytes, those that `RandomErasing` draws from `seed`."""
    images = images.clone()
    for image, each in zip(images, parameters, strict=True):
        left, top, right, bottom = each["hole"]
        shape = (bottom - top, right - left, len(image))
        values = np.random.default_rng(each["seed"]).integers(0, 255, shape, np.uint8, endpoint=True)
        image[:, top:bottom, left:right] = upload(values, images.device, torch.uint8).permute(2, 0, 1)
    return images


def hue_saturation(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """Adds `hue_shift` (0...179 is the circle) and `sat_shift` to the hue and saturation of RGB images; grey stays."""
    hue, saturation, value = _to_hsv(images)
    turn = _each(images, [math.floor(each["hue_shift"]) for each in parameters], torch.int32)[:, 0]
    more = _each(images, [int(each["sat_shift"]) for each in parameters], torch.int32)[:, 0]
    shifted = (saturation + more).clamp(0, 255).where(saturation > 0, 0)
    return _from_hsv((hue + turn) % 180, shifted, value)


def grey(images: Tensor, parameters: Sequence[Parameters]) -> Tensor:
    """RGB -> its brightness three times, in OpenCV's integers."""
    red, green, blue = images.int().unbind(1)
    brightness = (red * 9798 + green * 19235 + blue * 3735 + (1 << 14)) >> 15
    return brightness.to(torch.uint8)[:, None].expand_as(images)


STEPS: dict[str, Callable[[Tensor, Sequence[Parameters]], Tensor]] = {
    "Affine": affine,
    "RandomBrightnessContrast": brightness_contrast,
    "GaussianBlur": blur,
    "Sharpen": sharpen,
    "CoarseDropout": erase,
    "HueSaturationValue": hue_saturation,
    "ToGray": grey,
    "RandomErasing": erase_at_random,
}
"""albumentations' class, or `RandomErasing` -> the same on `[n, C, H, W]` uint8, in the order of the presets."""

KEPT = {
    "Affine": ("matrix",),
    "RandomBrightnessContrast": ("alpha", "beta"),
    "GaussianBlur": ("kernel",),
    "Sharpen": ("sharpening_matrix",),
    "CoarseDropout": ("holes", "seed"),
    "HueSaturationValue": ("hue_shift", "sat_shift"),
    "ToGray": (),
}
"""What of albumentations' parameters they use."""

SHIFT = 12
"""Bits after the point in OpenCV's conversion to HSV."""


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`[N, 3, H, W]` RGB -> hue 0...179, saturation and value 0...255, `[N, H, W]` int32, as OpenCV rounds them."""
    red, green, blue = images.int().unbind(1)
    value, least = images.amax(1).int(), images.amin(1).int()
    range_ = value - least
    steps = torch.arange(256, dtype=torch.float64).clamp(min=1)
    tables = torch.stack([(255 << SHIFT) / steps, (180 << SHIFT) / 6 / steps]).round()
    saturations, hues = upload(tables, images.device, torch.int32)
    saturation = (range_ * saturations[value] + (1 << SHIFT - 1)) >> SHIFT
    of_green, of_blue = blue - red + 2 * range_, red - green + 4 * range_
    sixth = torch.where(value == red, green - blue, torch.where(value == green, of_green, of_blue))
    hue = (sixth * hues[range_] + (1 << SHIFT - 1)) >> SHIFT
    return torch.where(hue < 0, hue + 180, hue), saturation, value


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse: `[N, H, W]` each -> `[N, 3, H, W]` RGB uint8, cut off after the point."""
    sector = hue // 30
    within, share, most = hue * (6 / 180) - sector, saturation * (1 / 255), value * (1 / 255)
    low, falling, rising = (most * (1 - share * part) for part in (1, within, 1 - within))
    levels = torch.stack([most, falling, low, low, rising, most], 1)  # of red; green and blue are two and four behind
    index = torch.stack([sector, (sector + 4) % 6, (sector + 2) % 6], 1).long()
    return (levels.gather(1, index) * 255).clamp(0, 255).to(torch.uint8)


def _rows(images: Tensor, values: Sequence[Any]) -> Tensor:
    return upload(np.stack(values), images.device)


def _each(images: Tensor, values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """One number for each image: `[N, 1, 1, 1]`."""
    return upload(values, images.device, dtype)[:, None, None, None]
