"""Images of 8 and of 16 bits: both in one batch, or 8 alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import DataError

Bits: TypeAlias = Literal[8, 16]


def check_eight_bits(image: ImageArray, name: str) -> None:
    """Raises DataError for an image of more than 8 bits."""
    if image.dtype != np.uint8:
        raise DataError(f"{name} has 16 bits, but an exported network takes 8: use its checkpoint for this image")


def to_common_depth(images: Sequence[ImageArray]) -> list[ImageArray]:
    """Scales uint8 images to uint16 (times 257, so that 255 becomes 65535) where any of `images` is uint16."""
    if len({image.dtype for image in images}) == 1:
        return list(images)
    return [image if image.dtype == np.uint16 else image.astype(np.uint16) * 257 for image in images]
