"""FCOS: Tian et al., Fully Convolutional One-Stage Object Detection (arXiv:1904.01355; improved: arXiv:2006.09214).

Here a point of the paper is an anchor whose size is its level's stride.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import at_least_fp32
from resnet_tl.models.heads.dense import DenseHead, DenseOutputs, HeadNorm, anchor_labels, by_anchor, conv3x3, pair
from resnet_tl.models.losses import giou_loss
from resnet_tl.models.matching import Padded, match_by_centre, pad
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.ranges import Fraction, PositiveFloat, checked
from resnet_tl.structures.boxes import decode_sides, encode_sides
from resnet_tl.structures.records import Boxes, Level

START = 4.0
"""Initial distance of a box's sides in strides: the shortest far side of all levels but the first (see
`match_by_centre`). Starting around 0, as RetinaNet does, ReLU would stop the gradient of half of the sides."""


@checked("head")
class FCOS(DenseHead):
    """One point per cell, which regresses the distances in strides to the four sides of its object. It also predicts
    its centre-ness within the object, which lowers the score of boxes regressed from near the rim.

    Args:
        levels, classes, norm, nms_threshold: see `DenseHead`, also for the other options.
        radius: strides around an object's centre within which points match it (centre sampling).
        floor_strides: see `Anchors`.

    Losses, as sums over the batch divided by the number of points that match an object: `class` (focal), `box` (GIoU)
    and `centerness` (binary cross-entropy), in torchvision's form: the box loss is not weighted.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        radius: PositiveFloat = 1.5,
        floor_strides: bool = False,
        norm: HeadNorm | None = "group",
        nms_threshold: Fraction = 0.6,
        **options: Any,
    ) -> None:
        anchors = Anchors(levels, [[level.stride] for level in levels], ratios=(1.0,), floor_strides=floor_strides)
        super().__init__(levels, classes, anchors=anchors, norm=norm, nms_threshold=nms_threshold, **options)
        assert self.box.bias is not None
        nn.init.constant_(self.box.bias, START)
        self.radius = radius
        self.centerness = conv3x3(levels[0].channels, 1)

    def regress(self, x: Tensor) -> Tensor:
        """Regresses `[N, A_l, 5]`: left, up, right, down in strides, and centre-ness as a logit."""
        return torch.cat([by_anchor(F.relu(self.box(x)), 1), by_anchor(self.centerness(x), 1)], 2)

    def decode(self, regressed: Tensor, anchors: Tensor) -> Tensor:
        return decode_sides(at_least_fp32(regressed[..., :4]), anchors)

    def scores(self, logits: Tensor, regressed: Tensor) -> Tensor:
        # the geometric mean of class probability and centre-ness (arXiv:2006.09214)
        return (at_least_fp32(logits).sigmoid() * at_least_fp32(regressed[..., 4:]).sigmoid()).sqrt()

    def loss(self, outputs: DenseOutputs, targets: Boxes | Padded) -> dict[str, Tensor]:
        objects = targets if isinstance(targets, Padded) else pad(targets, len(outputs.sizes))
        match = match_by_centre(objects, outputs.anchors, radius=self.radius)
        matched = match >= 0
        share = 1 / mean_over_ranks(matched.sum().float()).clamp(min=1)
        regressed, boxes, anchors, weights = pair(match, outputs, objects, share.expand(match.shape))
        predicted = at_least_fp32(regressed)
        central = F.binary_cross_entropy_with_logits(
            predicted[:, 4], centerness(boxes, anchors).to(predicted.dtype), reduction="none"
        )
        return {
            "class": self.class_loss(outputs, anchor_labels(match, objects), share.expand(match.shape)),
            "box": (giou_loss(self.decode(predicted, anchors), boxes) * weights).sum(),
            "centerness": (central * weights).sum(),
        }


def centerness(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Computes `[M]`, from 0 on the rim to 1 in the centre of a box (equation 3), for boxes and anchors `[M, 4]`."""
    left, up, right, down = encode_sides(boxes, anchors).unbind(1)
    across = left.minimum(right) / left.maximum(right)
    return (across * up.minimum(down) / up.maximum(down)).sqrt()
