"""Crops, resizing, mirroring and padding on a device against the same on arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from resnet_tl.data.images import crops, resize
from resnet_tl.data.images.deferred import Deferred, Resize, of_pixels
from resnet_tl.data.images.device_steps import change_shape, turn_upright
from resnet_tl.data.images.device_tensors import to_bytes
from resnet_tl.structures.records import Interpolation

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 84, 3), dtype=np.uint8)


def made(image: Deferred) -> np.ndarray:
    assert isinstance(image.source, np.ndarray)
    source = torch.from_numpy(np.ascontiguousarray(image.source)).permute(2, 0, 1)
    return to_bytes(change_shape(source, image.steps)).permute(1, 2, 0).numpy()


def both(change: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    deferred: Deferred = change(of_pixels(IMAGE))  # type: ignore[assignment,arg-type]
    there, here = change(IMAGE), made(deferred)
    assert deferred.shape == there.shape == here.shape
    return there.astype(int), here.astype(int)


@pytest.mark.parametrize(
    "change",
    [
        crops.mirror,
        lambda image: crops.reflect(image, 7),
        lambda image: image[5:40, 10:11],
        lambda image: crops.mirror(image)[3:, :20],
        lambda image: crops.reflect(crops.mirror(image)[3:50, :], 4)[2:9, 1:90],
        lambda image: resize.resize(image, 25, 91, "nearest"),
    ],
)
def test_pixels_that_only_move_are_equal(change: Callable[[np.ndarray], np.ndarray]) -> None:
    there, here = both(change)
    assert (there == here).all()


@pytest.mark.parametrize("size", [(20, 20), (45, 60), (97, 113), (60, 84), (1, 5)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("function", [resize.resize, resize.resize_fast])
def test_resized_pixels_differ_by_roundings(
    function: Callable[..., np.ndarray], interpolation: Interpolation, size: tuple[int, int]
) -> None:
    there, here = both(lambda image: function(image, *size, interpolation))
    assert abs(there - here).max() <= 1


def test_the_kernel_is_the_workers() -> None:
    """Half the size at least is resized by 2 x 2 pixels, more by a filter that widens, as `resize_fast` does it."""
    fast = resize.resize_fast(of_pixels(IMAGE), 40, 50)  # type: ignore[arg-type]
    wide = resize.resize_fast(of_pixels(IMAGE), 20, 50)  # type: ignore[arg-type]
    assert fast.steps == (Resize(40, 50, "bilinear", False),)  # type: ignore[attr-defined]
    assert wide.steps == (Resize(20, 50, "bilinear", True),)  # type: ignore[attr-defined]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_images(orientation: int) -> None:
    image = Image.fromarray(IMAGE)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    turned = turn_upright(torch.from_numpy(IMAGE).permute(2, 0, 1), orientation)
    assert (turned.permute(1, 2, 0).numpy() == upright).all()
    assert upright.shape[0] == (84 if orientation >= 5 else 60)
