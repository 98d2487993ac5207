"""Boxes as numbers. Everywhere `[..., 4]` floats x1, y1, x2, y2 on pixel edges: 0 <= x1 <= x2 <= width of the image.

The letters: N images, M boxes, G boxes an image, A anchors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST_LOG = math.log(1000 / 16)
"""A regressed width or height is at most 62.5 anchors: no `exp` overflows."""

TINY = 1e-7


def from_xywh(boxes: Tensor) -> Tensor:
    """From COCO's form: x1, y1, width, height."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


def to_xywh(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)


def from_centre(boxes: Tensor) -> Tensor:
    """From YOLO's form: the centre's x and y, width, height."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def to_centre(boxes: Tensor) -> Tensor:
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def area(boxes: Tensor) -> Tensor:
    """`[...]`, in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Boxes `[N, M, 4]` cut off at their images' edges; sizes `[N, 2]` (h, w)."""
    limits = sizes[:, [1, 0, 1, 0]].to(boxes.dtype)[:, None]
    return boxes.clamp(min=0).minimum(limits)


def rescale(boxes: Tensor, sizes: Tensor, to_sizes: Tensor) -> Tensor:
    """Boxes `[N, M, 4]` of images of `sizes` `[N, 2]` (h, w), as they lie when those are resized to `to_sizes`."""
    factors = to_sizes.to(boxes.dtype) / sizes.to(boxes.dtype)
    return boxes * factors[:, [1, 0, 1, 0]][:, None]


def pairwise_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of every box `[..., G, 4]` with every anchor `[A, 4]`: `[..., G, A]`; 0 for empty ones.

    Side by side rather than corner by corner, in place: the largest tensors of target assignment are made here.
    """
    first, second = boxes[..., None, :], anchors
    width = first[..., 2].minimum(second[..., 2]).sub_(first[..., 0].maximum(second[..., 0])).clamp_(min=0)
    height = first[..., 3].minimum(second[..., 3]).sub_(first[..., 1].maximum(second[..., 1])).clamp_(min=0)
    overlap = width.mul_(height)
    union = torch.add(area(first), area(second), out=height).sub_(overlap)
    return overlap.div_(union.clamp_(min=TINY))


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalised IoU of pairs `[M, 4]`, -1...1 (arXiv:1902.09630): `[M]`."""
    low, high = boxes[..., :2].maximum(others[..., :2]), boxes[..., 2:].minimum(others[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    union = area(boxes) + area(others) - overlap
    low, high = boxes[..., :2].minimum(others[..., :2]), boxes[..., 2:].maximum(others[..., 2:])
    hull = (high - low).prod(-1)
    return overlap / (union + TINY) - (hull - union) / (hull + TINY)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes relative to their anchors (arXiv:1311.2524, appendix C): the centres' distance in anchors, log of sizes."""
    centre, size = to_centre(boxes).split(2, -1)
    anchor_centre, anchor_size = to_centre(anchors).split(2, -1)
    return torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], -1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that `encode` made `deltas` `[..., 4]` of."""
    anchor_centre, anchor_size = to_centre(anchors).split(2, -1)
    shift, log_size = deltas.split(2, -1)
    centre = anchor_centre + shift * anchor_size
    return from_centre(torch.cat([centre, anchor_size * log_size.clamp(max=LARGEST_LOG).exp()], -1))


def encode_sides(boxes: Tensor, anchors: Tensor) -> Tensor:
    """How far left, up, right and down of the anchor's centre the box's sides are, in anchors (arXiv:1904.01355)."""
    centre, size = to_centre(anchors).split(2, -1)
    return torch.cat([(centre - boxes[..., :2]) / size, (boxes[..., 2:] - centre) / size], -1)


def decode_sides(sides: Tensor, anchors: Tensor) -> Tensor:
    """The boxes that `encode_sides` made `sides` `[..., 4]` of."""
    centre, size = to_centre(anchors).split(2, -1)
    return torch.cat([centre - sides[..., :2] * size, centre + sides[..., 2:] * size], -1)
