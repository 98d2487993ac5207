"""Images of 8 and of 16 bits in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnet_tl.data.images.decode import ImageArray


def to_common_depth(images: Sequence[ImageArray]) -> list[ImageArray]:
    """Scales uint8 images to uint16 (times 257, so that 255 becomes 65535) where any of `images` is uint16."""
    if len({image.dtype for image in images}) == 1:
        return list(images)
    return [image if image.dtype == np.uint16 else image.astype(np.uint16) * 257 for image in images]
