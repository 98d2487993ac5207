"""What is explained: a number for each image, computed from the outputs of the network's head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from resnet_tl.models.heads.base import Head, at_least_fp32
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.structures.boxes import pairwise_iou


class Score(Protocol):
    """`whole`: whether the score is of whole images, rather than of an object or a region in them."""

    @property
    def whole(self) -> bool: ...

    def __call__(self, outputs: object) -> Tensor:
        """Returns the scores `[N]` of N images, differentiable."""


@dataclass(frozen=True)
class ClassScore:
    """The logits of classes, one for each image: `labels` `[N]` int64, or `[1]` for all of them."""

    labels: Tensor
    whole: bool = True

    def __call__(self, outputs: object) -> Tensor:
        assert isinstance(outputs, Tensor)
        return at_least_fp32(outputs).gather(1, self.labels.to(outputs.device).expand(len(outputs))[:, None])[:, 0]


@dataclass(frozen=True)
class ValueScore:
    """A predicted number, in standard deviations: `label` is its index."""

    label: int
    whole: bool = True

    def __call__(self, outputs: object) -> Tensor:
        assert isinstance(outputs, Tensor)
        return at_least_fp32(outputs)[:, self.label, outputs.shape[-1] // 2]


@dataclass(frozen=True)
class ObjectScore:
    """The score of the detection that overlaps `box` most, times their IoU (arXiv:2006.03204, section 3.2).

    At the image in which `box` was detected, that is the detection's own score. In one that is partly covered, the
    detection may have moved or be gone: then the score is lower, or 0.

    box: `[4]` x1, y1, x2, y2 in pixels of the network's input. label: the object's class.
    """

    head: Head
    box: Tensor
    label: int
    whole: bool = False

    def __call__(self, outputs: object) -> Tensor:
        boxes, scores, labels, _ = self.head.predict(outputs)
        overlaps = pairwise_iou(boxes.detach().float(), self.box.to(boxes)[None])[..., 0].where(labels == self.label, 0)
        if not overlaps.shape[1]:
            return scores.new_zeros(len(scores))
        iou, nearest = overlaps.max(1, keepdim=True)
        return (scores.gather(1, nearest) * iou)[:, 0]


@dataclass(frozen=True)
class RegionScore:
    """The mean logit of a class over pixels: `inside` `[H, W]` bool, of the network's input."""

    label: int
    inside: Tensor
    whole: bool = False

    def __call__(self, outputs: object) -> Tensor:
        assert isinstance(outputs, PixelLogits)
        return at_least_fp32(outputs.main)[:, self.label][:, self.inside.to(outputs.main.device)].mean(1)
