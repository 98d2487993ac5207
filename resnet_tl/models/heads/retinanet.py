"""RetinaNet: Lin et al., Focal Loss for Dense Object Detection (arXiv:1708.02002)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import at_least_fp32
from resnet_tl.models.heads.dense import DenseHead, DenseOutputs, by_anchor, labels_of
from resnet_tl.models.losses import giou_loss
from resnet_tl.models.matching import IGNORED, match_by_overlap, pad
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.structures.boxes import decode, encode
from resnet_tl.structures.records import Boxes, Level

BACKGROUND, OBJECT = 0.4, 0.5
"""IoU below which an anchor is to find nothing, and from which on its object (section 4)."""


class RetinaNet(DenseHead):
    """Nine anchors a cell, of three sizes from 4 x the level's stride and three ratios; sides are regressed to them.

    Args:
        levels, classes: see `DenseHead`, and there for the other options.
        box_loss: `l1` of the encoded boxes as in the paper, or `giou` of the boxes (arXiv:1902.09630).
        floor_strides: see `Anchors`.

    Losses, in sums over an image's anchors divided by the number of those that are to find an object, then averaged
    over images as in the paper: `class` (focal) and `box`.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        box_loss: Literal["l1", "giou"] = "l1",
        floor_strides: bool = False,
        **options: Any,
    ) -> None:
        anchors = Anchors(levels, [_sizes(level) for level in levels], floor_strides=floor_strides)
        super().__init__(levels, classes, anchors=anchors, **options)
        self.box_loss = box_loss

    def regress(self, x: Tensor) -> Tensor:
        return by_anchor(self.box(x), self.anchors.per_cell)

    def decode(self, regressed: Tensor, anchors: Tensor) -> Tensor:
        return decode(at_least_fp32(regressed), anchors)

    def scores(self, logits: Tensor, regressed: Tensor) -> Tensor:
        return at_least_fp32(logits).sigmoid()

    def loss(self, outputs: DenseOutputs, targets: Boxes) -> dict[str, Tensor]:
        anchors, images = torch.cat(outputs.anchors), len(outputs.sizes)
        objects = pad(targets, images)
        match = match_by_overlap(objects, anchors, low=BACKGROUND, high=OBJECT)
        finding = match >= 0
        batch = mean_over_ranks(torch.tensor(float(images), device=match.device))
        share = 1 / (finding.sum(1).clamp(min=1) * batch)
        weights = share[:, None] * (match != IGNORED)
        n, a = finding.nonzero(as_tuple=True)
        away = self._away(torch.cat(outputs.regressed, 1)[n, a], objects.boxes[n, match[n, a]], anchors[a])
        return {
            "class": self.class_loss(outputs, labels_of(match, objects), weights),
            "box": (away * share[n]).sum(),
        }

    def _away(self, regressed: Tensor, boxes: Tensor, anchors: Tensor) -> Tensor:
        """The loss of each of M anchors, whose objects have these boxes: `[M]`."""
        if self.box_loss == "giou":
            return giou_loss(self.decode(regressed, anchors), boxes)
        return (at_least_fp32(regressed) - encode(boxes, anchors)).abs().sum(1)


def _sizes(level: Level) -> list[int]:
    """Three an octave, in whole pixels as torchvision has them."""
    side = 4 * level.stride
    return [side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))]
