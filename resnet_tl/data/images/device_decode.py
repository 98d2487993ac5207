"""JPEG files decoded on the device, by torchvision (nvJPEG on CUDA)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from resnet_tl.data.images.decode import decode_bytes
from resnet_tl.data.images.deferred import Jpeg
from resnet_tl.data.images.device_steps import turn_upright
from resnet_tl.errors import RunError

log = logging.getLogger("resnet_tl")


def check_decoder(device: torch.device) -> None:
    """Raises RunError where the device cannot decode any JPEG: a torchvision without nvJPEG, an older driver."""
    _, file = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))
    try:
        _decode([torch.from_numpy(file)], 3, device)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"data.decode is gpu, but {device} cannot decode JPEGs: {reason}; set it to cpu") from error


def decode_jpegs(files: Sequence[Jpeg], data: Sequence[Tensor], channels: int, device: torch.device) -> list[Tensor]:
    """Decodes files to upright images `[C, H, W]` uint8 on `device`.

    Where the device's decoder fails at one (it does not tell at which), all are decoded by the CPU.

    Args:
        files: what their headers state.
        data: the bytes of each, `[B]` uint8 on the CPU.
        channels: 1: grey; 3: RGB.

    Raises:
        DataError: the CPU's decoder fails, too.
    """
    try:
        images = _decode(data, channels, device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.info(f"{device} cannot decode one of {len(files)} JPEGs, the CPU does: {str(error).splitlines()[0]}")
        return [_by_cpu(*pair, channels).to(device) for pair in zip(files, data, strict=True)]
    upright = [turn_upright(image, file.orientation) for image, file in zip(images, files, strict=True)]
    return [
        image if image.shape == (channels, *file.size) else _by_cpu(file, of_file, channels).to(device)
        for image, file, of_file in zip(upright, files, data, strict=True)
    ]


def _decode(data: Sequence[Tensor], channels: int, device: torch.device) -> list[Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    if device.type == "cuda":
        # The decoder writes in a stream of its own, which does not wait for what still reads the memory it is given.
        torch.cuda.current_stream(device).synchronize()
    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from torchvision 0.29 on
        images: list[Tensor] = decode_jpeg(list(data), mode=mode, device=device)
    return images


def _by_cpu(file: Jpeg, data: Tensor, channels: int) -> Tensor:
    return torch.from_numpy(decode_bytes(data.numpy().tobytes(), file.path, channels)).permute(2, 0, 1)
