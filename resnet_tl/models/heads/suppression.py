"""From many overlapping candidates to the best few of each image, for the whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from resnet_tl.structures.records import Detections


def best_of(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, score_threshold: float, nms_threshold: float, count: int
) -> Detections:
    """The `count` best candidates (all, where there are fewer) with a score above `score_threshold`, of which none
    overlaps a better one of its class by an IoU above `nms_threshold`.

    boxes `[N, C, 4]`; scores, labels `[N, C]`.
    """
    images, candidates = scores.shape
    group = labels + (labels.amax() + 1) * torch.arange(images, device=labels.device)[:, None]
    alive = scores > score_threshold
    if torch.compiler.is_compiling():
        kept = alive & _survivors_traced(boxes, scores.where(alive, -1), group, nms_threshold)
    else:
        kept = torch.zeros_like(alive)
        kept[alive] = _survivors(boxes[alive], scores[alive], group[alive], nms_threshold)
    best, index = scores.where(kept, 0).topk(min(count, candidates), 1)
    found = kept.gather(1, index)
    return Detections(
        boxes.gather(1, index[..., None].expand(-1, -1, 4)) * found[..., None],
        best,
        labels.gather(1, index).where(found, -1),
    )


def _survivors(boxes: Tensor, scores: Tensor, group: Tensor, threshold: float) -> Tensor:
    """`[M]` bool of candidates `[M]`, each group by itself."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[batched_nms(_exact(boxes), _exact(scores), group, threshold)] = True
    return kept


def _survivors_traced(boxes: Tensor, scores: Tensor, group: Tensor, threshold: float) -> Tensor:
    """Of candidates `[N, C]` in a graph of fixed shapes, where `batched_nms` cannot choose its way by their number:
    groups are moved apart. Whoever is not alive has the lowest score and suppresses nobody."""
    apart = _exact(boxes) + (group * (boxes.amax() + 1))[..., None]
    kept = nms(apart.flatten(0, 1), _exact(scores).flatten(), threshold)
    return torch.zeros_like(scores, dtype=torch.bool).flatten().index_fill(0, kept, True).view_as(scores)


def _exact(values: Tensor) -> Tensor:
    """Where groups are moved thousands of pixels apart, fp32 has no room left for the fractions of one. (MPS has fp32
    alone.)"""
    return values if values.device.type == "mps" else values.double()
