"""RetinaNet: Lin et al., Focal Loss for Dense Object Detection (arXiv:1708.02002)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import at_least_fp32
from resnet_tl.models.heads.dense import DenseHead, DenseOutputs, anchor_labels, by_anchor, pair
from resnet_tl.models.losses import giou_loss
from resnet_tl.models.matching import IGNORED, Padded, match_by_overlap, pad
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.structures.boxes import decode, encode
from resnet_tl.structures.records import Boxes, Level

BACKGROUND, OBJECT = 0.4, 0.5
"""An anchor is background below the first IoU, and matches its object from the second on (section 4)."""


class RetinaNet(DenseHead):
    """Nine anchors per cell, of three sizes from 4 x the level's stride up and three ratios; boxes are regressed
    relative to them.

    Args:
        levels, classes: see `DenseHead`, also for the other options.
        box_loss: `l1` of the encoded boxes as in the paper, or `giou` of the boxes (arXiv:1902.09630).
        floor_strides: see `Anchors`.

    Losses, as sums over an image's anchors divided by the number of its anchors that match an object, averaged over
    images as in the paper: `class` (focal) and `box`.
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

    def loss(self, outputs: DenseOutputs, targets: Boxes | Padded) -> dict[str, Tensor]:
        anchors, images = torch.cat(outputs.anchors), len(outputs.sizes)
        objects = targets if isinstance(targets, Padded) else pad(targets, images)
        match = match_by_overlap(objects, anchors, low=BACKGROUND, high=OBJECT)
        matched = match >= 0
        batch = mean_over_ranks(torch.tensor(float(images), device=match.device))
        share = 1 / (matched.sum(1).clamp(min=1) * batch)
        weights = share[:, None] * (match != IGNORED)
        pairs = pair(match, outputs, objects, share[:, None].expand(match.shape))
        box_losses = self._box_losses(pairs.regressed, pairs.boxes, pairs.anchors)
        return {
            "class": self.class_loss(outputs, anchor_labels(match, objects), weights),
            "box": (box_losses * pairs.weights).sum(),
        }

    def _box_losses(self, regressed: Tensor, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Returns the loss `[M]` of each of M anchors with its object's box, `[M, 4]` each."""
        if self.box_loss == "giou":
            return giou_loss(self.decode(regressed, anchors), boxes)
        return (at_least_fp32(regressed) - encode(boxes, anchors)).abs().sum(1)


def _sizes(level: Level) -> list[int]:
    """Returns three sizes per octave in whole pixels, as in torchvision."""
    side = 4 * level.stride
    return [side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))]
