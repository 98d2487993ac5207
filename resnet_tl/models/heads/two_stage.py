"""Faster R-CNN and Mask R-CNN on a pyramid (arXiv:1506.01497, 1612.03144, 1703.06870), of torchvision's parts.

They are called by their own methods, piece by piece, so that a validation batch has losses and predictions from one
pass, and nothing here asks whether it is being trained. (torchvision's RPN does: it keeps more proposals in training.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import DetectionHead, at_least_fp32
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.ranges import Fraction, PositiveInt, checked
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.records import Boxes, Detections, Level

DEEPEST = 32
"""Stride of the deepest level that regions are cut out of; those behind it only propose (arXiv:1612.03144, 4.1)."""


class TwoStageOutputs(NamedTuple):
    """A anchors an image.

    maps: of all levels, by name. proposals: an image `[P, 4]` fp32, the most promising first.
    objectness `[N * A, 1]`, deltas `[N * A, 4]`: the first stage's answers, fp32. anchors: an image `[A, 4]`.
    sizes: (h, w) before padding.
    """

    maps: dict[str, Tensor]
    proposals: list[Tensor]
    objectness: Tensor
    deltas: Tensor
    anchors: list[Tensor]
    sizes: list[tuple[int, int]]

    def image(self, number: int) -> TwoStageOutputs:
        """Those of one image of the batch, as a batch."""
        one, images = slice(number, number + 1), len(self.sizes)
        objectness, deltas = (x.view(images, -1, x.shape[1])[number] for x in (self.objectness, self.deltas))
        maps = {name: value[one] for name, value in self.maps.items()}
        return TwoStageOutputs(maps, self.proposals[one], objectness, deltas, self.anchors[one], self.sizes[one])


@checked("head")
class FasterRCNN(DetectionHead):
    """Regions are proposed from anchors on every level, then classified and refined one by one.

    Args:
        levels: all are proposed from; regions are cut out of those up to stride 32. All have the same channels.
        classes: K names. The networks inside have a background before them: K + 1 outputs.
        score_threshold, nms_threshold, detections: as of the dense heads.
        floor_strides: see `Anchors`.
        samples: regions of an image that the second stage learns from, a quarter of them objects at most; fewer are
            faster.
        v2: torchvision's second form (arXiv:2111.11429): another convolution before the proposals, four with batch norm
            before the classification, and batch norm in a head of masks.

    Losses: `objectness` and `rpn_box` of the first stage, `class` and `box` of the second; each a sum over samples
    divided by their number. Images are sampled by torch's generator.
    """

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        score_threshold: Fraction = 0.05,
        nms_threshold: Fraction = 0.5,
        detections: PositiveInt = 100,
        floor_strides: bool = False,
        samples: PositiveInt = 512,
        v2: bool = False,
    ) -> None:
        super().__init__()
        self.names, self.v2 = [level.name for level in levels], v2
        channels = levels[0].channels
        self.anchors = Anchors(levels, [[8 * level.stride] for level in levels], floor_strides=floor_strides)
        self.rpn = _rpn(RPNHead(channels, self.anchors.per_cell, conv_depth=2 if v2 else 1))
        self.roi_heads = RoIHeads(
            box_roi_pool=roi_pool(levels, 7),
            box_head=_box_head(channels, v2),
            box_predictor=FastRCNNPredictor(1024, len(classes) + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=samples,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=detections,
        )

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> TwoStageOutputs:
        read = {name: maps[name] for name in self.names}
        first = next(iter(read.values()))
        images = [input_size] * len(first) if sizes is None else [(h, w) for h, w in sizes.tolist()]
        by_level = self.rpn.head(list(read.values()))
        per_level = self.anchors([(x.shape[-2], x.shape[-1]) for x in read.values()], input_size)
        anchors = [torch.cat(per_level)] * len(images)
        objectness, deltas = (at_least_fp32(x) for x in concat_box_prediction_layers(*by_level))
        boxes = self.rpn.box_coder.decode(deltas.detach(), anchors).view(len(images), -1, 4)
        counts = [len(level) for level in per_level]
        proposals, _ = self.rpn.filter_proposals(boxes, objectness, images, counts)
        return TwoStageOutputs(read, proposals, objectness, deltas, anchors, images)

    def loss(self, outputs: TwoStageOutputs, targets: Boxes) -> dict[str, Tensor]:
        objects = self.objects(targets, outputs.sizes)
        terms = self._first_stage_loss(outputs, objects)
        samples, match, labels, aims = self.roi_heads.select_training_samples(list(outputs.proposals), objects)
        logits, refined = self._boxes(outputs, samples)
        classification, box = fastrcnn_loss(logits, refined, labels, aims)
        count = torch.tensor(len(logits), device=logits.device)
        terms |= {"class": _over_ranks(classification, count), "box": _over_ranks(box, count)}
        return terms | self.mask_loss(outputs, objects, samples, match, labels)

    def predict(self, outputs: TwoStageOutputs) -> Detections:
        logits, refined = self._boxes(outputs, outputs.proposals)
        found = self.roi_heads.postprocess_detections(logits, refined, outputs.proposals, outputs.sizes)
        boxes, scores, labels = found
        masks = self.masks(outputs, boxes, labels)
        return Detections(
            _stacked(boxes, 0),
            _stacked(scores, 0),
            _stacked([label - 1 for label in labels], -1),
            None if masks is None else _stacked(masks, 0),
        )

    def objects(self, targets: Boxes, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """An image's targets as torchvision has them, counting classes from 1; crowds are none."""
        images = targets.objects().split(len(sizes))
        return [{"boxes": image.boxes.float(), "labels": image.labels + 1} for image in images]

    def mask_loss(
        self,
        outputs: TwoStageOutputs,
        objects: list[dict[str, Tensor]],
        samples: list[Tensor],
        match: list[Tensor],
        labels: list[Tensor],
    ) -> dict[str, Tensor]:
        """A third term, of a network with masks."""
        return {}

    def masks(self, outputs: TwoStageOutputs, boxes: list[Tensor], labels: list[Tensor]) -> list[Tensor] | None:
        """Of each image's boxes: `[D, S, S]` probabilities."""
        return None

    def _first_stage_loss(self, outputs: TwoStageOutputs, objects: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        labels, matched = self.rpn.assign_targets_to_anchors(outputs.anchors, objects)
        labels = [label.to(outputs.objectness.dtype) for label in labels]
        aims = self.rpn.box_coder.encode(matched, outputs.anchors)
        objectness, box = self.rpn.compute_loss(outputs.objectness, outputs.deltas, labels, aims)
        count = _sampled(torch.stack(labels), self.rpn.fg_bg_sampler)
        return {"objectness": _over_ranks(objectness, count), "rpn_box": _over_ranks(box, count)}

    def _boxes(self, outputs: TwoStageOutputs, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits `[R, K + 1]` and deltas `[R, (K + 1) * 4]` of all regions, fp32."""
        crops = self.roi_heads.box_roi_pool(outputs.maps, regions, outputs.sizes)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(crops))
        return at_least_fp32(logits), at_least_fp32(deltas)


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask of 28 x 28 for each region and class.

    Args as of `FasterRCNN`. A loss more: `mask`, the binary cross-entropy of the true class's mask, averaged over the
    pixels of all regions that hold an object.
    """

    def __init__(self, levels: list[Level], classes: list[str], **options: Any) -> None:
        super().__init__(levels, classes, **options)
        self.roi_heads.mask_roi_pool = roi_pool(levels, 14)
        self.roi_heads.mask_head = MaskRCNNHeads(
            levels[0].channels, (256, 256, 256, 256), dilation=1, norm_layer=nn.BatchNorm2d if self.v2 else None
        )
        self.roi_heads.mask_predictor = MaskRCNNPredictor(256, 256, len(classes) + 1)

    def objects(self, targets: Boxes, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """With the pixels of the masks."""
        objects = super().objects(targets, sizes)
        for image, (height, width), target in zip(targets.objects().split(len(sizes)), sizes, objects, strict=True):
            pixels = [torch.from_numpy(to_pixels(mask, height, width)) for mask in image.masks or []]
            blank = torch.zeros(0, height, width, dtype=torch.bool)
            target["masks"] = (torch.stack(pixels) if pixels else blank).to(target["boxes"].device)
        return objects

    def mask_loss(
        self,
        outputs: TwoStageOutputs,
        objects: list[dict[str, Tensor]],
        samples: list[Tensor],
        match: list[Tensor],
        labels: list[Tensor],
    ) -> dict[str, Tensor]:
        holding = [label > 0 for label in labels]
        regions = [sample[there] for sample, there in zip(samples, holding, strict=True)]
        of = [number[there] for number, there in zip(match, holding, strict=True)]
        classes, pixels = [target["labels"] for target in objects], [target["masks"] for target in objects]
        loss = maskrcnn_loss(self._masks(outputs, regions), regions, pixels, classes, of)
        return {"mask": _over_ranks(loss, torch.cat(holding).sum())}

    def masks(self, outputs: TwoStageOutputs, boxes: list[Tensor], labels: list[Tensor]) -> list[Tensor] | None:
        return [mask[:, 0] for mask in maskrcnn_inference(self._masks(outputs, boxes), labels)]

    def _masks(self, outputs: TwoStageOutputs, regions: list[Tensor]) -> Tensor:
        """Logits `[R, K + 1, 28, 28]`, fp32."""
        crops = self.roi_heads.mask_roi_pool(outputs.maps, regions, outputs.sizes)
        return at_least_fp32(self.roi_heads.mask_predictor(self.roi_heads.mask_head(crops)))


def roi_pool(levels: list[Level], side: int) -> MultiScaleRoIAlign:
    """Crops of `side` x `side` from the level that suits a region's size. torchvision would guess the levels' strides
    from the first batch."""
    read = [level for level in levels if level.stride <= DEEPEST]
    pool = MultiScaleRoIAlign([level.name for level in read], output_size=side, sampling_ratio=2)
    pool.scales = [1 / level.stride for level in read]
    depths = [level.stride.bit_length() - 1 for level in read]
    pool.map_levels = LevelMapper(depths[0], depths[-1], pool.canonical_scale, pool.canonical_level)
    return pool


def _box_head(channels: int, v2: bool) -> nn.Module:
    """Crops `[R, channels, 7, 7]` -> `[R, 1024]`."""
    if v2:
        return FastRCNNConvFCHead((channels, 7, 7), [256, 256, 256, 256], [1024], norm_layer=nn.BatchNorm2d)
    return TwoMLPHead(channels * 7 * 7, 1024)


def _rpn(head: nn.Module) -> RegionProposalNetwork:
    """With the published numbers (arXiv:1612.03144, section 4.1 and 5.1). Its anchors are ours."""
    return RegionProposalNetwork(
        None,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000, "testing": 1000},
        post_nms_top_n={"training": 2000, "testing": 1000},
        nms_thresh=0.7,
    )


def _sampled(labels: Tensor, sampler: Any) -> Tensor:
    """How many anchors torchvision's sampler takes, of labels `[N, A]`: 1 an object, 0 none, -1 not to be taken."""
    most = int(sampler.batch_size_per_image * sampler.positive_fraction)
    positive = (labels >= 1).sum(1).clamp(max=most)
    return (positive + (labels == 0).sum(1).minimum(sampler.batch_size_per_image - positive)).sum()


def _over_ranks(mean: Tensor, count: Tensor) -> Tensor:
    """A mean over this process's `count` samples as its share of the mean over those of all processes."""
    return mean * (count / mean_over_ranks(count.float()).clamp(min=1))


def _stacked(each: list[Tensor], filling: float) -> Tensor:
    """Images' `[D_n, ...]` side by side, the shorter ones filled up: `[N, D, ...]`."""
    return nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=filling)
