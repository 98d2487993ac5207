"""What the device does to training images in place of the loader's workers, and what rules it out."""

from __future__ import annotations

from typing import Literal

from resnet_tl.data.images.augment import POLICIES, Strength
from resnet_tl.errors import RecipeError

OnDevice = Literal["nothing", "transforms", "decoding and transforms"]


def work_on_device(decode: Literal["cpu", "gpu"], augment_on: Literal["cpu", "device"], channels: int) -> OnDevice:
    """Returns what `data.decode` and `data.augment_on` leave to the device.

    Raises:
        RecipeError: `decode: gpu` without `augment_on: device`, or for images that are neither grey nor RGB.
    """
    if decode == "cpu":
        return "nothing" if augment_on == "cpu" else "transforms"
    if augment_on == "cpu":
        raise RecipeError("data.decode: gpu leaves the pixels on the GPU to be cropped; add data.augment_on: device")
    if channels not in (1, 3):
        raise RecipeError(f"data.decode: gpu decodes images of 1 or 3 channels, but data.channels is {channels}")
    return "decoding and transforms"


def refuse(on_device: OnDevice, setting: str, reason: str, *, decoding: bool = False) -> None:
    """Raises RecipeError where the device has work that `setting` rules out.

    decoding: only decoding is ruled out.
    """
    if on_device == "nothing" or (decoding and on_device == "transforms"):
        return
    option = "data.decode: gpu" if decoding else "data.augment_on: device"
    raise RecipeError(f"{option} cannot be used with {setting}, {reason}; remove one of them")


def refuse_policy(on_device: OnDevice, augment: Strength) -> None:
    """Raises RecipeError where the device is to apply TrivialAugment or RandAugment."""
    if augment in POLICIES:
        refuse(on_device, f"data.augment: {augment}", "whose operations only workers apply")


def check_accelerator(on_device: OnDevice, device: str) -> None:
    """Raises RecipeError where a device, `cuda`, is to decode that cannot."""
    if on_device == "decoding and transforms" and device != "cuda":
        raise RecipeError(f"data.decode: gpu needs an NVIDIA GPU, but this run is on {device}; set it to cpu")
