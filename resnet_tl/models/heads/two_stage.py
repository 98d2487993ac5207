"""Faster R-CNN and Mask R-CNN on a pyramid (arXiv:1506.01497, 1612.03144, 1703.06870), built from torchvision's parts.

Calls the parts by their sub-methods, so that one pass over a validation batch gives both losses and predictions, and
nothing here depends on `training` (except that torchvision's RPN keeps more proposals in training).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_inference, maskrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import DetectionHead, at_least_fp32
from resnet_tl.models.pasting import to_crop
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.models.region_pool import roi_pool
from resnet_tl.ranges import Fraction, PositiveInt, checked
from resnet_tl.structures.masks import to_pixels
from resnet_tl.structures.padding import padded_size
from resnet_tl.structures.records import Boxes, Detections, Level


class TwoStageOutputs(NamedTuple):
    """Outputs of the first stage, and what the second stage needs; A anchors per image.

    maps: `{level: [N, C, H, W]}` of all levels. proposals: `[P, 4]` fp32 in pixels for each image, best first.
    objectness: logits `[N * A, 1]`, deltas: `[N * A, 4]`, both fp32. anchors: `[A, 4]` in pixels for each image.
    sizes: (h, w) of each image in pixels before padding.
    """

    maps: dict[str, Tensor]
    proposals: list[Tensor]
    objectness: Tensor
    deltas: Tensor
    anchors: list[Tensor]
    sizes: list[tuple[int, int]]

    def image(self, number: int) -> TwoStageOutputs:
        """Selects one image of the batch, as a batch."""
        one, images = slice(number, number + 1), len(self.sizes)
        objectness, deltas = (x.view(images, -1, x.shape[1])[number] for x in (self.objectness, self.deltas))
        maps = {name: value[one] for name, value in self.maps.items()}
        return TwoStageOutputs(maps, self.proposals[one], objectness, deltas, self.anchors[one], self.sizes[one])


@checked("head")
class FasterRCNN(DetectionHead):
    """Proposes regions from anchors on every level, then classifies and refines each region.

    Args:
        levels: all of them propose; regions are cropped from those up to stride 32. All have the same channels.
        classes: K names. The networks inside have K + 1 outputs, the background first.
        score_threshold, nms_threshold, detections: as in `DenseHead`.
        floor_strides: see `Anchors`.
        samples: regions of an image that the second stage is trained on, at most a quarter of them objects; fewer are
            faster.
        v2: torchvision's second form (arXiv:2111.11429): a second convolution before the proposals, four with batch
            norm before the classification, and batch norm in the mask branch.
        aligned: crop regions and the masks to learn, and paste predicted masks, at the centres of cells and pixels, as
            detectron2 does; false: half a cell or pixel off, as torchvision, whose weights were trained so. `auto`:
            false with `floor_strides`, which such weights need too.

    Losses: `objectness` and `rpn_box` of the first stage, `class` and `box` of the second; each is a sum over samples
    divided by their number. Sampling uses torch's generator.
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
        aligned: Literal["auto"] | bool = "auto",
    ) -> None:
        super().__init__()
        self.aligned = not floor_strides if aligned == "auto" else aligned
        self.names, self.v2 = [level.name for level in levels], v2
        channels = levels[0].channels
        self.anchors = Anchors(levels, [[8 * level.stride] for level in levels], floor_strides=floor_strides)
        self.rpn = _rpn(RPNHead(channels, self.anchors.per_cell, conv_depth=2 if v2 else 1))
        self.roi_heads = RoIHeads(
            box_roi_pool=roi_pool(levels, 7, aligned=self.aligned),
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
        """Runs the first stage on maps `{level: [N, C, H, W]}`; see `TwoStageOutputs` for the shapes."""
        read = {name: maps[name] for name in self.names}
        first = next(iter(read.values()))
        images = [input_size] * len(first) if sizes is None else [(h, w) for h, w in sizes.tolist()]
        by_level = self.rpn.head(list(read.values()))
        # Of the padded size, as in training: with floor_strides they depend on it.
        per_level = self.anchors([(x.shape[-2], x.shape[-1]) for x in read.values()], padded_size(input_size))
        anchors = [torch.cat(per_level)] * len(images)
        objectness, deltas = (at_least_fp32(x) for x in concat_box_prediction_layers(*by_level))
        # Proposals are inputs of the second stage; its losses do not train the first through their coordinates.
        boxes = self.rpn.box_coder.decode(deltas.detach(), anchors).view(len(images), -1, 4)
        counts = [level.shape[0] for level in per_level]
        # Only the order of their sigmoids counts. ONNX Runtime's are 0 below -18: logits are brought closer to 0.
        proposals, _ = self.rpn.filter_proposals(boxes, objectness / 16, images, counts)
        return TwoStageOutputs(read, proposals, objectness, deltas, anchors, images)

    def loss(self, outputs: TwoStageOutputs, targets: Boxes) -> dict[str, Tensor]:
        objects = self.objects(targets, outputs.sizes)
        terms = self._first_stage_loss(outputs, objects)
        samples, match, labels, deltas = self.roi_heads.select_training_samples(list(outputs.proposals), objects)
        logits, refined = self._boxes(outputs, samples)
        classification, box = fastrcnn_loss(logits, refined, labels, deltas)
        count = torch.tensor(len(logits), device=logits.device)
        terms |= {"class": _over_ranks(classification, count), "box": _over_ranks(box, count)}
        return terms | self.mask_loss(outputs, objects, samples, match, labels)

    def predict(self, outputs: TwoStageOutputs) -> Detections:
        logits, refined = self._boxes(outputs, outputs.proposals)
        boxes, scores, labels = self.roi_heads.postprocess_detections(logits, refined, outputs.proposals, outputs.sizes)
        masks = self.masks(outputs, boxes, labels)
        return Detections(
            _pad(boxes, 0),
            _pad(scores, 0),
            _pad([label - 1 for label in labels], -1),
            None if masks is None else _pad(masks, 0),
        )

    def objects(self, targets: Boxes, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Converts targets to torchvision's form, a dictionary per image; classes count from 1, crowds are dropped."""
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
        """Returns the third term of the second stage, for heads with masks."""
        return {}

    def masks(self, outputs: TwoStageOutputs, boxes: list[Tensor], labels: list[Tensor]) -> list[Tensor] | None:
        """Returns probabilities `[D, S, S]` for each image's boxes `[D, 4]`, from heads with masks."""
        return None

    def _first_stage_loss(self, outputs: TwoStageOutputs, objects: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        labels, matched = self.rpn.assign_targets_to_anchors(outputs.anchors, objects)
        labels = [label.to(outputs.objectness.dtype) for label in labels]
        deltas = self.rpn.box_coder.encode(matched, outputs.anchors)
        objectness, box = self.rpn.compute_loss(outputs.objectness, outputs.deltas, labels, deltas)
        count = _sample_count(torch.stack(labels), self.rpn.fg_bg_sampler)
        return {"objectness": _over_ranks(objectness, count), "rpn_box": _over_ranks(box, count)}

    def _boxes(self, outputs: TwoStageOutputs, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns logits `[R, K + 1]` and deltas `[R, (K + 1) * 4]` of all regions, fp32."""
        crops = self.roi_heads.box_roi_pool(outputs.maps, regions, outputs.sizes)
        logits, deltas = self.roi_heads.box_predictor(self.roi_heads.box_head(crops))
        return at_least_fp32(logits), at_least_fp32(deltas)


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask of 28 x 28 for each region and class.

    Args as in `FasterRCNN`. Adds the loss `mask`: the binary cross-entropy of the mask of the true class, averaged over
    the pixels of all regions that contain an object.
    """

    def __init__(self, levels: list[Level], classes: list[str], **options: Any) -> None:
        super().__init__(levels, classes, **options)
        self.roi_heads.mask_roi_pool = roi_pool(levels, 14, aligned=self.aligned)
        self.roi_heads.mask_head = MaskRCNNHeads(
            levels[0].channels, (256, 256, 256, 256), dilation=1, norm_layer=nn.BatchNorm2d if self.v2 else None
        )
        self.roi_heads.mask_predictor = MaskRCNNPredictor(256, 256, len(classes) + 1)

    def objects(self, targets: Boxes, sizes: list[tuple[int, int]]) -> list[dict[str, Tensor]]:
        """Converts targets as `FasterRCNN.objects` does, and renders the masks to pixels."""
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
        positive = [label > 0 for label in labels]  # only regions with an object have a mask to learn
        regions = [sample[chosen] for sample, chosen in zip(samples, positive, strict=True)]
        matched = [number[chosen] for number, chosen in zip(match, positive, strict=True)]
        classes, pixels = [target["labels"] for target in objects], [target["masks"] for target in objects]
        cropped = [to_crop(own, aligned=self.aligned) for own in regions]
        loss = maskrcnn_loss(self._masks(outputs, regions), cropped, pixels, classes, matched)
        return {"mask": _over_ranks(loss, torch.cat(positive).sum())}

    def masks(self, outputs: TwoStageOutputs, boxes: list[Tensor], labels: list[Tensor]) -> list[Tensor] | None:
        return [mask[:, 0] for mask in maskrcnn_inference(self._masks(outputs, boxes), labels)]

    def _masks(self, outputs: TwoStageOutputs, regions: list[Tensor]) -> Tensor:
        """Returns logits `[R, K + 1, 28, 28]` of all regions, fp32."""
        crops = self.roi_heads.mask_roi_pool(outputs.maps, regions, outputs.sizes)
        return at_least_fp32(self.roi_heads.mask_predictor(self.roi_heads.mask_head(crops)))


def _box_head(channels: int, v2: bool) -> nn.Module:
    """Builds the network from crops `[R, channels, 7, 7]` to features `[R, 1024]`."""
    if v2:
        return FastRCNNConvFCHead((channels, 7, 7), [256, 256, 256, 256], [1024], norm_layer=nn.BatchNorm2d)
    return TwoMLPHead(channels * 7 * 7, 1024)


def _rpn(head: nn.Module) -> RegionProposalNetwork:
    """Builds the RPN with the published numbers (arXiv:1612.03144, sections 4.1 and 5.1), without its own anchors."""
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


class _Sampler(Protocol):
    batch_size_per_image: int
    positive_fraction: float


def _sample_count(labels: Tensor, sampler: _Sampler) -> Tensor:
    """Counts the anchors that torchvision's sampler draws, from labels `[N, A]`: 1 object, 0 background, -1 ignored."""
    most = int(sampler.batch_size_per_image * sampler.positive_fraction)
    positive = (labels >= 1).sum(1).clamp(max=most)
    return (positive + (labels == 0).sum(1).minimum(sampler.batch_size_per_image - positive)).sum()


def _over_ranks(mean: Tensor, count: Tensor) -> Tensor:
    """Turns the mean over this rank's `count` samples into its share of the mean over the samples of all ranks."""
    # torchvision's losses are means over the local samples, and NaN without any. mean * count is the local sum; DDP
    # averages gradients, so dividing by the mean count gives the gradient of the sum over all ranks divided by their
    # total count.
    return mean.where(count > 0, 0) * (count / mean_over_ranks(count.float()).clamp(min=1))


def _pad(each: list[Tensor], value: float) -> Tensor:
    """Stacks the images' `[D_n, ...]` to `[N, D, ...]`, padded with `value`."""
    if len(each) == 1:  # in exported graphs, which cannot pad
        return torch.stack(each)
    return nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=value)
