"""From the masks that a head finds over its boxes to pixels of the image, as torchvision's Mask R-CNN does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor


class Cutout(NamedTuple):
    """Part of a mask: `pixels` `[h, w]` bool with the upper left corner at (`top`, `left`); outside, nothing is."""

    pixels: npt.NDArray[np.bool_]
    top: int
    left: int


def paste(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Cutout:
    """Where an object is on an image.

    Args:
        mask: `[S, S]` probabilities over the box. A ring of zeros is laid around it, so that it may end at the box.
        box: `[4]` x1, y1, x2, y2 in pixels.
        size: (h, w) of the image in pixels.
    """
    side = mask.shape[-1]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * ((side + 2) / side)
    left, top, right, bottom = [int(edge) for edge in (*(middle - half).tolist(), *(middle + half).tolist())]
    shape = max(bottom - top + 1, 1), max(right - left + 1, 1)
    padded = F.pad(mask, (1, 1, 1, 1))[None, None]
    pixels = F.interpolate(padded, size=shape, mode="bilinear", align_corners=False)[0, 0] > threshold
    rows, columns = (slice(max(-low, 0), max(limit - low, 0)) for low, limit in ((top, size[0]), (left, size[1])))
    return Cutout(pixels[rows, columns].numpy(), max(top, 0), max(left, 0))
