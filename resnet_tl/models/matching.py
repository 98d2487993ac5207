"""Target assignment: which object each anchor has to find, for the whole batch at once.

Letters in shapes: N images, G objects of the image with the most objects, A anchors. A match is the index of an object
within its image, `NONE` for anchors on background, `IGNORED` for anchors that the loss ignores.
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
    """The objects of N images, padded to G >= 1: boxes `[N, G, 4]` fp32, labels `[N, G]`, valid `[N, G]` bool."""

    boxes: Tensor
    labels: Tensor
    valid: Tensor


def pad(targets: Boxes, images: int) -> Padded:
    """Pads the objects of a batch of `images` images. Drops crowds, which are not targets."""
    targets = targets.objects()
    counts = targets.image.bincount(minlength=images)
    most = max(int(counts.max()), 1) if images else 1
    # Objects are grouped by image, so an object's index within its image is its position minus the image's first.
    number = torch.arange(len(targets), device=counts.device) - (counts.cumsum(0) - counts)[targets.image]
    place = targets.image, number
    boxes = targets.boxes.new_zeros(images, most, 4, dtype=torch.float32).index_put(place, targets.boxes.float())
    labels = targets.labels.new_zeros(images, most).index_put(place, targets.labels)
    valid = torch.arange(most, device=counts.device) < counts[:, None]
    return Padded(boxes, labels, valid)


def pad_for_graph(targets: Boxes, images: int) -> Padded:
    """Pads as `pad` does, to G >= 2, and makes G a size that a compiled graph leaves open."""
    from torch._dynamo import mark_dynamic  # takes seconds to import

    objects = pad(targets, images)
    if objects.valid.shape[1] == 1:  # a graph always fixes a size of 1
        objects = Padded(*(torch.cat([x, torch.zeros_like(x)], 1) for x in objects))
    for x in objects:
        mark_dynamic(x, 1)
    return objects


def match_by_overlap(objects: Padded, anchors: Tensor, *, low: float, high: float) -> Tensor:
    """Returns matches `[N, A]` for anchors `[A, 4]`: the object with the largest IoU if that is `high` or more, `NONE`
    below `low`, else `IGNORED`.

    The best anchors of an object (all that overlap it equally) are matched even if they overlap it little; each to its
    own best object, as torchvision and Detectron2 do.
    """
    overlap = pairwise_iou(objects.boxes, anchors).masked_fill_(~objects.valid[..., None], -1)
    best, match = overlap.max(1)
    # Clamped above 0: otherwise padding, and an object that no anchor overlaps, would claim all anchors.
    anchor_best = overlap.amax(2, keepdim=True).clamp_(min=torch.finfo(overlap.dtype).tiny)
    chosen = (overlap == anchor_best).any(1) | (best >= high)
    return torch.where(chosen, match, torch.where(best < low, NONE, IGNORED))


def match_by_centre(objects: Padded, anchors: list[Tensor], *, radius: float) -> Tensor:
    """Returns matches `[N, A]` of FCOS (arXiv:1904.01355, sections 3.1 and 3.2; centre sampling: arXiv:2006.09214).

    The size of an anchor is its level's stride. An anchor matches an object if its centre lies inside the box, less
    than `radius` sizes from the box's centre across and down, and if the farthest side of the box is between 4 and 8
    sizes away (the first level has no lower limit, the last no upper one). Of several objects, the smallest counts.

    anchors: `[A_l, 4]` for each level.
    """
    centre, sides = to_centre(torch.cat(anchors)).split(2, 1)
    size = sides[:, 0]
    # Each level regresses its own range of distances, so that objects of different size that overlap mostly meet on
    # different levels.
    nearest, farthest = 4 * size, 8 * size
    nearest[: len(anchors[0])] = 0
    farthest[len(size) - len(anchors[-1]) :] = torch.inf
    x0, y0, x1, y1 = objects.boxes[..., None].unbind(2)
    left, right, up, down = centre[:, 0] - x0, x1 - centre[:, 0], centre[:, 1] - y0, y1 - centre[:, 1]
    inside = left.minimum(right).minimum(up.minimum(down)) > 0
    reach = left.maximum(right).maximum(up.maximum(down))
    off_centre = (left - right).abs_().maximum((up - down).abs_()) / 2
    fits = inside & (off_centre < radius * size) & (reach > nearest) & (reach < farthest) & objects.valid[..., None]
    smallest, match = torch.where(fits, area(objects.boxes)[..., None], torch.inf).min(1)
    return torch.where(smallest.isfinite(), match, NONE)
