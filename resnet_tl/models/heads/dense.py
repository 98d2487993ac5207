"""The common part of dense detectors: two towers on every level, outputs by anchor, decoding."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal, NamedTuple, TypeAlias

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.heads.suppression import select_detections
from resnet_tl.models.losses import focal_loss
from resnet_tl.models.matching import NONE, Padded, pad_for_graph
from resnet_tl.models.norms import norm_of
from resnet_tl.ranges import Fraction, PositiveInt, checked
from resnet_tl.structures.boxes import clip
from resnet_tl.structures.padding import padded_size
from resnet_tl.structures.records import Boxes, Detections, Level

PRIOR = 0.01
"""The initial probability of a class at an anchor (arXiv:1708.02002, 4.1): with 0.5, the many background anchors would
dominate the first steps."""

CANDIDATES = 1000
"""The number of best candidates of a level that enter suppression."""

HeadNorm: TypeAlias = Literal["group"]


class DenseOutputs(NamedTuple):
    """Outputs by level, shallow to deep, with A_l anchors.

    logits: `[N, A_l, K]`. regressed: `[N, A_l, R]`, which `decode` turns into boxes. anchors: `[A_l, 4]` in pixels.
    sizes: `[N, 2]` (h, w) in pixels before padding.
    """

    logits: list[Tensor]
    regressed: list[Tensor]
    anchors: list[Tensor]
    sizes: Tensor

    def image(self, number: int) -> DenseOutputs:
        """Selects one image of the batch, as a batch."""
        one = slice(number, number + 1)
        logits, regressed = ([level[one] for level in part] for part in (self.logits, self.regressed))
        return DenseOutputs(logits, regressed, self.anchors, self.sizes[one])


@checked("head")
class DenseHead(DetectionHead):
    """A tower of 3x3 convolutions for classes (`what`) and one for boxes (`where`), shared by all levels.

    Args:
        levels, classes: see `Head`; all levels are read, and have the same number of channels.
        anchors: for those levels.
        convs: convolutions of each tower.
        norm: `group` after each convolution, which training from random weights needs; or None.
        score_threshold: drop detections with a lower score.
        nms_threshold: drop the less probable of two boxes of a class with a larger IoU.
        detections: maximum per image.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        anchors: Anchors,
        convs: Annotated[int, Ge(0), Le(32)] = 4,
        norm: HeadNorm | None = None,
        score_threshold: Fraction = 0.05,
        nms_threshold: Fraction = 0.5,
        detections: PositiveInt = 100,
    ) -> None:
        super().__init__()
        self.names = [level.name for level in levels]
        self.score_threshold, self.nms_threshold, self.detections = score_threshold, nms_threshold, detections
        self.anchors = anchors
        channels = levels[0].channels
        self.what = _tower(channels, convs, norm)
        self.where = _tower(channels, convs, norm)
        self.logits = conv3x3(channels, anchors.per_cell * len(classes), bias=-math.log((1 - PRIOR) / PRIOR))
        self.box = conv3x3(channels, anchors.per_cell * 4)

    @abstractmethod
    def regress(self, x: Tensor) -> Tensor:
        """Regresses `[N, A_l, R]` from the second tower's map `[N, C, H, W]`."""

    @abstractmethod
    def decode(self, regressed: Tensor, anchors: Tensor) -> Tensor:
        """Returns boxes `[..., 4]` fp32 from `regressed` `[..., R]` and anchors `[..., 4]`."""

    @abstractmethod
    def scores(self, logits: Tensor, regressed: Tensor) -> Tensor:
        """Returns scores `[N, A_l, K]` fp32, 0...1, from logits `[N, A_l, K]` and `regressed` `[N, A_l, R]`."""

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> DenseOutputs:
        """Returns logits `[N, A_l, K]` and regressions `[N, A_l, R]` by level from maps `{level: [N, C, H, W]}`."""
        read = [maps[name] for name in self.names]
        if sizes is None:
            sizes = torch.tensor([input_size], device=read[0].device).expand(read[0].shape[0], 2)
        per_cell = self.anchors.per_cell
        logits = [by_anchor(self.logits(self.what(x)), per_cell) for x in read]
        regressed = [self.regress(self.where(x)) for x in read]
        grids = [(x.shape[-2], x.shape[-1]) for x in read]
        # Of the padded size, as in training: with floor_strides they depend on it.
        return DenseOutputs(logits, regressed, self.anchors(grids, padded_size(input_size)), sizes)

    def fixed_shapes(self, targets: Boxes, images: int) -> Padded:
        return pad_for_graph(targets, images)

    def predict(self, outputs: DenseOutputs) -> Detections:
        candidates = [self._best_of_level(*level, outputs.sizes) for level in zip(*outputs[:3], strict=True)]
        boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*candidates, strict=True))
        return select_detections(
            boxes,
            scores,
            labels,
            score_threshold=self.score_threshold,
            nms_threshold=self.nms_threshold,
            count=self.detections,
        )

    def class_loss(self, outputs: DenseOutputs, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the weighted sum of all levels' focal loss; labels (negative: background) and weights: `[N, A]`."""
        counts = [len(anchors) for anchors in outputs.anchors]
        parts = zip(outputs.logits, labels.split(counts, 1), weights.split(counts, 1), strict=True)
        return torch.stack([focal_loss(*part) for part in parts]).sum()

    def _best_of_level(
        self, logits: Tensor, regressed: Tensor, anchors: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns boxes `[N, C, 4]`, scores and labels `[N, C]` of the level's C candidates."""
        # Candidates are pairs of anchor and class: an anchor may have several classes above the threshold. Only theirs
        # are decoded.
        scores = self.scores(logits, regressed).flatten(1)
        best, index = scores.topk(torch.sym_min(CANDIDATES, scores.shape[1]), 1)
        anchor, label = index // logits.shape[2], index % logits.shape[2]
        chosen = regressed.gather(1, anchor[..., None].expand(-1, -1, regressed.shape[2]))
        return clip(self.decode(chosen, anchors[anchor]), sizes), best, label


def by_anchor(x: Tensor, per_cell: int) -> Tensor:
    """Reshapes a map `[N, per_cell * R, H, W]` to `[N, H * W * per_cell, R]`; a view if it is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1] // per_cell)


def conv3x3(channels: int, outputs: int, *, bias: float = 0.0) -> nn.Conv2d:
    """Builds a convolution whose outputs start near `bias` (normal, 0.01; arXiv:1708.02002, section 4.1)."""
    conv = nn.Conv2d(channels, outputs, 3, padding=1)
    for name, value in conv.named_parameters():
        nn.init.constant_(value, bias) if name == "bias" else nn.init.normal_(value, std=0.01)
    return conv


def anchor_labels(match: Tensor, objects: Padded) -> Tensor:
    """Returns the class `[N, A]` of the object that each anchor matches, negative for none, from matches `[N, A]`."""
    return torch.where(match >= 0, objects.labels.gather(1, match.clamp(min=0)), NONE)


class Pairs(NamedTuple):
    """M anchors with their objects: regressed `[M, R]`, boxes of the objects and anchors `[M, 4]`, weights `[M]`."""

    regressed: Tensor
    boxes: Tensor
    anchors: Tensor
    weights: Tensor


def pair(match: Tensor, outputs: DenseOutputs, objects: Padded, weights: Tensor) -> Pairs:
    """Pairs the anchors that match an object with it, from matches and weights `[N, A]`.

    Their number is data, which breaks a compiled graph: that takes all anchors, and gives those without an object
    themselves as boxes and the weight 0.
    """
    anchors, regressed, matched = torch.cat(outputs.anchors), torch.cat(outputs.regressed, 1), match >= 0
    if not torch.compiler.is_compiling():
        n, a = matched.nonzero(as_tuple=True)
        return Pairs(regressed[n, a], objects.boxes[n, match[n, a]], anchors[a], weights[n, a])
    own = objects.boxes.gather(1, match.clamp(min=0)[..., None].expand(-1, -1, 4))
    boxes = torch.where(matched[..., None], own, anchors)
    weights = weights * matched
    return Pairs(regressed.flatten(0, 1), boxes.flatten(0, 1), anchors.repeat(len(match), 1), weights.flatten())


def _tower(channels: int, convs: int, norm: HeadNorm | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(convs):
        layers.append(conv3x3(channels, channels))
        if norm is not None:
            layers.append(norm_of(norm)(channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
