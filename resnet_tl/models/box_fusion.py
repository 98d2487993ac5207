"""Weighted boxes fusion (arXiv:1910.13302): the detections of several networks in the same images as one set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from resnet_tl.structures.boxes import to_centre
from resnet_tl.structures.records import Detections

IOU = 0.55
"""Above it, two boxes of a class are of one object (the paper's choice)."""

Floats = NDArray[np.float64]


def fuse(members: Sequence[Detections]) -> Detections:
    """Fuses detections of the same N images by several networks.

    Boxes of a class that overlap become one: the mean of their corners, weighted by their scores. Its score is the mean
    over the networks, where one that has not found the object counts 0. Masks are averaged with the same weights, over
    the fused box. An image has at most as many objects as a single network returns.
    """
    count = max(each.boxes.shape[1] for each in members)
    images = [
        _fuse_image([_of_image(each, number) for each in members], count) for number in range(len(members[0].boxes))
    ]
    labels = pad_sequence([image.labels for image in images], True, -1)
    boxes, scores = (pad_sequence([getattr(image, name) for image in images], True) for name in ("boxes", "scores"))
    masks = [image.masks for image in images if image.masks is not None]
    return Detections(boxes, scores, labels, pad_sequence(masks, True) if masks else None)


def clusters(boxes: Floats, scores: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the number of the object `[M]` that each box belongs to, in the order of the best box of each.

    A box, the best first, joins the object of its class whose weighted mean so far it overlaps the most, if by more
    than `IOU`; otherwise it is the first of a new one.

    Args:
        boxes: `[M, 4]` x1, y1, x2, y2. scores, labels: `[M]`.
    """
    found = np.zeros(len(boxes), np.int64)
    means, weights, classes = np.zeros((len(boxes), 4)), np.zeros(len(boxes)), np.full(len(boxes), -1)
    count = 0
    for index in np.argsort(-scores, kind="stable"):
        overlaps = np.where(classes[:count] == labels[index], _overlaps(boxes[index], means[:count]), 0)
        chosen = int(overlaps.argmax()) if count and overlaps.max() > IOU else count
        if chosen == count:
            count, classes[chosen] = count + 1, labels[index]
        weights[chosen] += scores[index]
        means[chosen] += (boxes[index] - means[chosen]) * (scores[index] / weights[chosen])
        found[index] = chosen
    return found


def _of_image(detections: Detections, number: int) -> Detections:
    """The objects of one image, without padding."""
    boxes, scores, labels, masks = detections
    real = labels[number] >= 0
    own_masks = None if masks is None else masks[number][real]
    return Detections(boxes[number][real], scores[number][real], labels[number][real], own_masks)


def _fuse_image(members: Sequence[Detections], count: int) -> Detections:
    boxes, scores, labels = (torch.cat([getattr(each, name) for each in members]) for name in Detections._fields[:3])
    corners, ranks = (value.detach().cpu().double().numpy() for value in (boxes, scores))
    numbers = clusters(corners, ranks, labels.cpu().numpy())
    cluster = torch.from_numpy(numbers).to(boxes.device)
    objects = int(cluster.amax()) + 1 if len(cluster) else 0
    totals = scores.new_zeros(objects).index_add(0, cluster, scores)
    found = torch.bincount(cluster, minlength=objects)
    shares = scores / totals[cluster]
    fused = boxes.new_zeros(objects, 4).index_add(0, cluster, boxes * shares[:, None])
    farthest = torch.zeros_like(fused).scatter_reduce(0, cluster[:, None].expand(-1, 4), boxes, "amax")
    fused = fused.minimum(farthest)  # rounding must not move a box out of its image
    best = (totals / found.clamp(min=len(members))).sort(descending=True, stable=True)
    order = best.indices[:count]
    classes = labels.new_zeros(objects).index_copy(0, cluster, labels)
    masks = None
    if members[0].masks is not None:
        own = torch.cat([each.masks for each in members if each.masks is not None])
        moved = _over(fused[cluster], boxes, own) * shares[:, None, None]
        masks = own.new_zeros(objects, *own.shape[1:]).index_add(0, cluster, moved)[order]
    return Detections(fused[order], best.values[:count], classes[order], masks)


def _over(boxes: Tensor, own: Tensor, masks: Tensor) -> Tensor:
    """Resamples masks `[M, S, S]` over their own boxes `[M, 4]` to others, 0 outside of their own."""
    if not len(masks):
        return masks
    centre, size = to_centre(boxes).split(2, 1)
    own_centre, own_size = to_centre(own).split(2, 1)
    scale, shift = size / own_size, 2 * (centre - own_centre) / own_size
    theta = torch.stack([torch.diag_embed(scale)[:, :, 0], torch.diag_embed(scale)[:, :, 1], shift], 2)
    grid = F.affine_grid(theta, [len(masks), 1, *masks.shape[1:]], align_corners=False)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Returns the IoU `[C]` of a box `[4]` with others `[C, 4]`."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(1)
    areas = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1)
    return shared / np.maximum(areas - shared, 1e-9)
