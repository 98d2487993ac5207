"""Where a mask head's masks are cropped from the image, and pastes them into it.

Two conventions. Aligned, as in detectron2: pixel i is centred at i + 0.5, and a pasted pixel takes the value at its
centre. torchvision's: a cropped pixel i lies at i, and the box that a mask is pasted over is rounded down to pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


class Cutout(NamedTuple):
    """The part of a mask that can be True: `pixels` `[h, w]` bool, with the upper left corner at (`top`, `left`)."""

    pixels: npt.NDArray[np.bool_]
    top: int
    left: int


def to_crop(boxes: Tensor, *, aligned: bool) -> Tensor:
    """Returns the boxes `[R, 4]` over which torchvision's `project_masks_on_boxes`, to which pixel i lies at i, crops
    the masks to be learned: each value is the share of the object around a point of its box."""
    # Not rounded to 0 and 1 as detectron2's: that loses the place of the edge within a cell, for objects of 100 pixels
    # and more most of what is lost.
    return boxes - 0.5 if aligned else boxes


def paste(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float = 0.5, *, aligned: bool = False) -> Cutout:
    """Returns the pixels of an object.

    Args:
        mask: `[S, S]` probabilities 0...1 over the box.
        box: `[4]` x1, y1, x2, y2 in pixels.
        size: (h, w) of the image in pixels.
        threshold: a pixel belongs to the object above this probability.
        aligned: the convention of the head that predicted the mask.
    """
    return _at_centres(mask, box, size, threshold) if aligned else _resized(mask, box, size, threshold)


def _at_centres(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Cutout:
    left, top, right, bottom = box.tolist()
    rows, first_row = _weights(top, bottom, size[0], mask)
    columns, first_column = _weights(left, right, size[1], mask)
    return Cutout((rows @ mask @ columns.T >= threshold).numpy(), first_row, first_column)


def _weights(start: float, end: float, limit: int, mask: Tensor) -> tuple[Tensor, int]:
    """Returns the weights `[n, S]` of a mask's S rows or columns in n pixels, which begin with the second result.

    The mask lies from `start` to `end`, in pixels; those of the image end at `limit`.
    """
    side = mask.shape[-1]
    cell = max(end - start, 1e-6) / side  # a box without area has no cells
    # Interpolated to 0 within half a cell around the mask, where detectron2's grid_sample does so.
    first, last = max(math.floor(start - cell / 2), 0), min(math.ceil(end + cell / 2), limit)
    centres = torch.arange(first, max(last, first)) + 0.5
    at = ((centres - start) / cell - 0.5).to(mask)
    return (1 - (at[:, None] - torch.arange(side).to(mask)).abs()).clamp(min=0), first


def _resized(mask: Tensor, box: Tensor, size: tuple[int, int], threshold: float) -> Cutout:
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
