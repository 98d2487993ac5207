"""Non-maximum suppression for a whole batch at once: from many overlapping candidates to the best few of each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from resnet_tl.structures.records import Detections


def select_detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, score_threshold: float, nms_threshold: float, count: int
) -> Detections:
    """Returns up to `count` best candidates of each image with a score above `score_threshold`, of which none overlaps
    a better one of its class by an IoU above `nms_threshold`.

    boxes `[N, C, 4]` in pixels; scores, labels `[N, C]`.
    """
    images, candidates = scores.shape
    if not candidates:
        return Detections(boxes, scores, labels)
    above = scores > score_threshold
    if torch.compiler.is_compiling():
        kept = above & _survivors_traced(boxes, scores.where(above, -1), labels, nms_threshold)
    else:
        # Only candidates of one image and class suppress each other: a number for each pair.
        group = labels + (labels.amax() + 1) * torch.arange(images, device=labels.device)[:, None]
        kept = torch.zeros_like(above)
        kept[above] = _survivors(boxes[above], scores[above], group[above], nms_threshold)
    best, index = scores.where(kept, 0).topk(torch.sym_min(count, candidates), 1)
    real = kept.gather(1, index)  # images with fewer than `count` survivors are padded
    return Detections(
        boxes.gather(1, index[..., None].expand(-1, -1, 4)).where(real[..., None], 0),
        best,
        labels.gather(1, index).where(real, -1),
    )


def _survivors(boxes: Tensor, scores: Tensor, group: Tensor, threshold: float) -> Tensor:
    """Returns `[M]` bool for candidates `[M]`; groups do not affect each other."""
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[batched_nms(_exact(boxes), _exact(scores), group, threshold)] = True
    return kept


def _survivors_traced(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Returns `[N, C]` bool for candidates `[N, C]`, in a graph of fixed shapes."""
    # `batched_nms` chooses its method by the number of candidates, which cannot be traced. This is one of its methods:
    # move groups apart, classes to the right and images down, so that boxes of different groups do not overlap.
    # Candidates below the threshold have the lowest score, so they suppress none above it.
    image = torch.arange(labels.shape[0], device=labels.device)[:, None].expand_as(labels)
    apart = _exact(boxes) + torch.stack([labels, image, labels, image], -1) * (_exact(boxes).amax((0, 1, 2)) + 1)
    kept = nms(apart.flatten(0, 1), _exact(scores).flatten(), threshold)
    return torch.zeros_like(scores, dtype=torch.bool).flatten().index_fill(0, kept, True).view_as(scores)


def _exact(values: Tensor) -> Tensor:
    """Casts to fp64: moved by thousands of pixels, fp32 boxes would lose fractions of a pixel. MPS only has fp32."""
    return values if values.device.type == "mps" else values.double()
