"""Which object an anchor is to find: target assignment for the whole batch at once.

The letters: N images, G objects of the image with the most of them, A anchors. A match is the object's number
within its image, `NONE` where the anchor is to find nothing, `IGNORED` where it is to learn nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from resnet_tl.structures.boxes import area, pairwise_iou, to_centre
from resnet_tl.structures.records import Boxes

NONE = -1
IGNORED = -2


class Padded(NamedTuple):
    """The objects of N images side by side: boxes `[N, G, 4]` fp32, labels `[N, G]`, `there` `[N, G]`; G >= 1."""

    boxes: Tensor
    labels: Tensor
    there: Tensor


def pad(targets: Boxes, images: int) -> Padded:
    """Single objects alone: a crowd is no target."""
    targets = targets.objects()
    counts = targets.image.bincount(minlength=images)
    most = max(int(counts.max()), 1) if images else 1
    number = torch.arange(len(targets), device=counts.device) - (counts.cumsum(0) - counts)[targets.image]
    place = targets.image, number
    boxes = targets.boxes.new_zeros(images, most, 4, dtype=torch.float32).index_put(place, targets.boxes.float())
    labels = targets.labels.new_zeros(images, most).index_put(place, targets.labels)
    there = torch.arange(most, device=counts.device) < counts[:, None]
    return Padded(boxes, labels, there)


def match_by_overlap(objects: Padded, anchors: Tensor, *, low: float, high: float) -> Tensor:
    """Matches `[N, A]`: the object of the largest IoU where that is `high` or more, `NONE` below `low`, else `IGNORED`.

    An object's best anchors (all that overlap it equally) are matched however little they overlap; each to its own best
    object, as torchvision and Detectron2 do.
    """
    overlap = pairwise_iou(objects.boxes, anchors).masked_fill_(~objects.there[..., None], -1)
    best, match = overlap.max(1)
    anchor_best = overlap.amax(2, keepdim=True).clamp_(min=torch.finfo(overlap.dtype).tiny)
    chosen = (overlap == anchor_best).any(1) | (best >= high)
    return torch.where(chosen, match, torch.where(best < low, NONE, IGNORED))


def match_by_centre(objects: Padded, anchors: list[Tensor], *, radius: float) -> Tensor:
    """Matches `[N, A]` of FCOS (arXiv:1904.01355, sections 3.1 and 3.2; centre sampling: arXiv:2006.09214).

    An anchor, whose size is its level's stride, finds an object if its centre lies within it, less than `radius` sizes
    from the object's centre across and down, and if the object's farthest side is between 4 and 8 sizes away (the first
    level's anchors find all that is nearer, the last one's all that is farther). Of several the smallest counts.

    anchors: a level `[A_l, 4]`.
    """
    middle, sides = to_centre(torch.cat(anchors)).split(2, 1)
    size = sides[:, 0]
    nearest, farthest = 4 * size, 8 * size
    nearest[: len(anchors[0])] = 0
    farthest[len(size) - len(anchors[-1]) :] = torch.inf
    x0, y0, x1, y1 = objects.boxes[..., None].unbind(2)
    left, right, up, down = middle[:, 0] - x0, x1 - middle[:, 0], middle[:, 1] - y0, y1 - middle[:, 1]
    inside = left.minimum(right).minimum(up.minimum(down)) > 0
    reach = left.maximum(right).maximum(up.maximum(down))
    off_centre = (left - right).abs_().maximum((up - down).abs_()) / 2
    fits = inside & (off_centre < radius * size) & (reach > nearest) & (reach < farthest) & objects.there[..., None]
    smallest, match = torch.where(fits, area(objects.boxes)[..., None], torch.inf).min(1)
    return torch.where(smallest.isfinite(), match, NONE)
