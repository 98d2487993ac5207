"""Pastes masks predicted over boxes into the image, as torchvision's Mask R-CNN does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor


class Cutout(NamedTuple):
    """The part of a mask that can be True: `pixels` `[h, w]` bool, with the upper left corner at (`top`, `left`)."""

    pixels: npt.NDArray[np.bool_]
    top: int
    left: int


def paste(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Cutout:
    """Returns the pixels of an object.

    Args:
        mask: `[S, S]` probabilities 0...1 over the box.
        box: `[4]` x1, y1, x2, y2 in pixels.
        size: (h, w) of the image in pixels.
        threshold: a pixel belongs to the object above this probability.
    """
    # A ring of zeros around the mask, and a box enlarged to match, let the probability fall to 0 at the box's edge:
    # resizing without it would extend the outermost values.
    side = mask.shape[-1]
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * ((side + 2) / side)
    left, top, right, bottom = [int(edge) for edge in (*(centre - half).tolist(), *(centre + half).tolist())]
    shape = max(bottom - top + 1, 1), max(right - left + 1, 1)
    padded = F.pad(mask, (1, 1, 1, 1))[None, None]
    pixels = F.interpolate(padded, size=shape, mode="bilinear", align_corners=False)[0, 0] > threshold
    rows, columns = (slice(max(-low, 0), max(limit - low, 0)) for low, limit in ((top, size[0]), (left, size[1])))
    return Cutout(pixels[rows, columns].numpy(), max(top, 0), max(left, 0))
