"""Box arithmetic. Boxes are `[..., 4]` floats x1, y1, x2, y2 on pixel edges: 0 <= x1 <= x2 <= width of the image.

Letters in shapes: N images, M boxes, G boxes per image, A anchors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST_LOG = math.log(1000 / 16)
"""Limits a regressed width or height to 62.5 anchors, so that `exp` cannot overflow."""

TINY = 1e-7
"""Keeps quotients finite for boxes without area."""


def from_xywh(boxes: Tensor) -> Tensor:
    """Converts COCO's form `[..., 4]` (x1, y1, width, height) to corners `[..., 4]`."""
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


def to_xywh(boxes: Tensor) -> Tensor:
    """Converts corners `[..., 4]` to COCO's form `[..., 4]` (x1, y1, width, height)."""
    return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)


def from_centre(boxes: Tensor) -> Tensor:
    """Converts YOLO's form `[..., 4]` (centre x, centre y, width, height) to corners `[..., 4]`."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def to_centre(boxes: Tensor) -> Tensor:
    """Converts corners `[..., 4]` to YOLO's form `[..., 4]` (centre x, centre y, width, height)."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)


def area(boxes: Tensor) -> Tensor:
    """Returns the areas `[...]` of boxes `[..., 4]` in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clips boxes `[N, M, 4]` to images of `sizes` `[N, 2]` (h, w)."""
    limits = sizes[:, [1, 0, 1, 0]].to(boxes.dtype)[:, None]
    return boxes.clamp(min=0).minimum(limits)


def rescale(boxes: Tensor, sizes: Tensor, to_sizes: Tensor) -> Tensor:
    """Moves boxes `[N, M, 4]` with their images, which are resized from `sizes` `[N, 2]` (h, w) to `to_sizes`."""
    factors = to_sizes.to(boxes.dtype) / sizes.to(boxes.dtype)
    return boxes * factors[:, [1, 0, 1, 0]][:, None]


def pairwise_iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Computes the IoU `[..., G, A]` of every box `[..., G, 4]` with every anchor `[A, 4]`; 0 for empty boxes."""
    # One side at a time and in place: these are the largest tensors of target assignment, and stacked corners
    # `[..., G, A, 2]` would double them.
    first, second = boxes[..., None, :], anchors
    width = first[..., 2].minimum(second[..., 2]).sub_(first[..., 0].maximum(second[..., 0])).clamp_(min=0)
    height = first[..., 3].minimum(second[..., 3]).sub_(first[..., 1].maximum(second[..., 1])).clamp_(min=0)
    overlap = width.mul_(height)
    union = torch.add(area(first), area(second), out=height).sub_(overlap)
    return overlap.div_(union.clamp_(min=TINY))


def giou(boxes: Tensor, others: Tensor) -> Tensor:
    """Computes the generalised IoU `[M]`, -1...1, of pairs of boxes `[M, 4]` (arXiv:1902.09630)."""
    low, high = boxes[..., :2].maximum(others[..., :2]), boxes[..., 2:].minimum(others[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    union = area(boxes) + area(others) - overlap
    low, high = boxes[..., :2].minimum(others[..., :2]), boxes[..., 2:].maximum(others[..., 2:])
    hull = (high - low).prod(-1)
    return overlap / (union + TINY) - (hull - union) / (hull + TINY)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encodes boxes `[..., 4]` relative to their anchors `[..., 4]` (arXiv:1311.2524, appendix C): the offset of the
    centres in units of the anchor's size, and the logarithm of the ratio of sizes."""
    centre, size = to_centre(boxes).split(2, -1)
    anchor_centre, anchor_size = to_centre(anchors).split(2, -1)
    return torch.cat([(centre - anchor_centre) / anchor_size, (size / anchor_size).log()], -1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Inverts `encode`: deltas `[..., 4]` to boxes `[..., 4]`."""
    anchor_centre, anchor_size = to_centre(anchors).split(2, -1)
    shift, log_size = deltas.split(2, -1)
    centre = anchor_centre + shift * anchor_size
    return from_centre(torch.cat([centre, anchor_size * log_size.clamp(max=LARGEST_LOG).exp()], -1))


def encode_sides(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encodes boxes `[..., 4]` as the distances of their left, upper, right and lower side from the anchor's centre, in
    units of the anchor's size (arXiv:1904.01355)."""
    centre, size = to_centre(anchors).split(2, -1)
    return torch.cat([(centre - boxes[..., :2]) / size, (boxes[..., 2:] - centre) / size], -1)


def decode_sides(sides: Tensor, anchors: Tensor) -> Tensor:
    """Inverts `encode_sides`: sides `[..., 4]` to boxes `[..., 4]`."""
    centre, size = to_centre(anchors).split(2, -1)
    return torch.cat([centre - sides[..., :2] * size, centre + sides[..., 2:] * size], -1)
