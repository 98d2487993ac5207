"""Object detection, and instance segmentation: boxes of objects, and their masks."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.record import Record
from resnet_tl.models.anchors import Anchors
from resnet_tl.models.finite import all_finite
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet  # noqa: F401  known by name
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN  # noqa: F401
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.ranks import local_counts
from resnet_tl.structures.boxes import rescale
from resnet_tl.structures.evaluation import BoxEvaluation
from resnet_tl.structures.masks import resize as resize_mask
from resnet_tl.structures.padding import by_size
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tasks.base import Task, total
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.protocols import TeacherNetwork
from resnet_tl.tuning.rates import Optimizer, Schedule
from resnet_tl.weights.records import WeightRecord


class Detection(Task):
    """Fine-tunes an object detector.

    Args:
        classes: K names, in the order of the targets' labels.
        backbone, neck, head, tuning, optimizer, schedule: see `Task`; the head is a `DetectionHead`.

    Logs `train/loss` and its terms (`train/loss_class`, ...), `val/loss`, and COCO's numbers: `val/map`, `val/map50`,
    ..., of masks `val/mask_map`, .... `val/loss` is the mean of the losses of single images, whose samples are drawn
    with the image's index as seed: it depends neither on batches nor on the number of ranks.
    """

    teacher: TeacherNetwork | None = None
    """What `tuning.teacher` names: see `resnet_tl.run.detector_teacher.read_detector`."""

    def __init__(
        self,
        classes: list[str],
        backbone: Backbone = Backbone(),
        neck: NeckFactory = functools.partial(FPN, outputs=("p3", "p4", "p5", "p6", "p7")),
        head: HeadFactory = FCOS,
        tuning: Tuning = Tuning(),
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
    ) -> None:
        super().__init__(
            classes, backbone=backbone, neck=neck, head=head, tuning=tuning, optimizer=optimizer, schedule=schedule
        )
        self.metrics = DetectionMetrics(self.classes, aligned=self.detector.aligned)
        self.record = Record("losses")

    def use_data(self, data: Any, stage: str) -> None:
        super().use_data(data, stage)
        self.codes = data.codes

    @property
    def detector(self) -> DetectionHead:
        return cast(DetectionHead, self.network.head)

    def forward(self, images: Tensor) -> Detections:
        """Returns the detections in images `[N, C, H, W]` (bytes), in their pixels."""
        return self.detector.predict(self.network(images))

    def log_loss(self, terms: Mapping[str, Tensor], images: int) -> Tensor:
        penalties = [] if self.regularisers is None else self.regularisers.names
        of_head = {f"train/loss_{name}": term.detach() for name, term in terms.items() if name not in penalties}
        self.log_dict(of_head, batch_size=images)
        return super().log_loss(terms, images)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Returns, for callbacks that draw them, `detections` in pixels of the batch's images, and `aligned`: how their
        masks are pasted."""
        return {"detections": self._evaluate(batch, "val"), "aligned": self.detector.aligned}

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Detections]:
        """Returns the images' indices `[n]` in the listing and their detections, in pixels of the image files, without
        fillers."""
        positions, parts = zip(*by_size(batch), strict=True)
        detected = [self.detector.predict(self.network(part.images, part.sizes)) for part in parts]
        every = _in_file_pixels(_in_order(detected, positions), batch)
        keep = batch.indices >= 0
        masks = None if every.masks is None else every.masks[keep]
        return batch.indices[keep], Detections(every.boxes[keep], every.scores[keep], every.labels[keep], masks)

    def _load_weights(self, weights: str) -> WeightRecord:
        record, anchors = super()._load_weights(weights), getattr(self.detector, "anchors", None)
        if isinstance(anchors, Anchors) and record.floor_strides and not anchors.floor_strides:
            rank_zero_info("  they were trained with the head's floor_strides: true, here it is false")
        if record.floor_strides and self.detector.aligned:  # torchvision's, too
            rank_zero_info("  they were trained with the head's aligned: false, here it is true")
        return record

    def _truth(self, batch: Batch, split: str) -> Boxes:
        """Returns the targets in pixels of the image files: the data module's, or the batch's, rescaled."""
        if self.data is not None:
            return self.data.truth(split, batch.indices.tolist()).to(self.device)
        targets: Boxes = batch.targets
        sizes, originals = batch.sizes[targets.image], batch.original_sizes[targets.image]
        boxes = rescale(targets.boxes[:, None], sizes, originals)[:, 0]
        area = targets.area * originals.prod(1) / sizes.prod(1)
        each = zip(targets.masks or [], sizes.tolist(), originals.tolist(), strict=False)
        return replace(targets, boxes=boxes, area=area, masks=[resize_mask(*mask) for mask in each])

    def _evaluate(self, batch: Batch, split: str) -> Detections:
        """Returns the detections, in pixels of the batch's images."""
        positions, parts = zip(*by_size(batch), strict=True)
        return _in_order([self._evaluate_together(part, split) for part in parts], positions)

    def _evaluate_together(self, batch: Batch, split: str) -> Detections:
        outputs = self.network(batch.images, batch.sizes)
        detections = self.detector.predict(outputs)
        truth, originals = self._truth(batch, split), batch.original_sizes
        self.metrics.update(_in_file_pixels(detections, batch), truth, batch.indices, originals)
        if not all_finite(outputs):  # where no object is, the loss does not show it
            self.mean_loss.update(math.nan)
        each = batch.targets.split(len(batch))
        devices = [self.device] if self.device.type == "cuda" else []
        losses = torch.zeros(len(batch), device=self.device)
        with local_counts(), torch.random.fork_rng(devices):
            for number, index in enumerate(batch.indices.tolist()):
                if index >= 0:
                    torch.manual_seed(index)  # heads sample anchors and proposals: the same for an image in any batch
                    terms = self.detector.loss(outputs.image(number), Boxes.join([each[number]]))
                    losses[number] = loss = total(terms)
                    self.mean_loss.update(loss)
        if self.data is not None:
            self.record.update(indices=batch.indices, losses=losses)
        return detections

    def _evaluation(self, shared: dict[str, Any], rows: dict[str, NDArray]) -> BoxEvaluation:
        objects = self.metrics.objects()
        image, labels, scores, boxes, mask_bytes = objects.predictions.split([1, 1, 1, 4, 1], 1)
        true_image, true_labels, crowd, area, true_boxes, true_bytes = objects.targets.split([1, 1, 1, 1, 4, 1], 1)
        return BoxEvaluation(
            **shared,
            losses=rows["losses"],
            sizes=objects.images[:, 1:].long().numpy(),
            target_image=np.searchsorted(rows["indices"], _integers(true_image)),
            target_labels=_integers(true_labels),
            target_crowd=crowd[:, 0].bool().numpy(),
            target_area=area[:, 0].numpy(),
            target_boxes=true_boxes.numpy(),
            target_masks=objects.target_masks.numpy(),
            target_mask_bytes=_integers(true_bytes),
            image=np.searchsorted(rows["indices"], _integers(image)),
            labels=_integers(labels),
            scores=scores[:, 0].numpy(),
            boxes=boxes.numpy(),
            masks=objects.prediction_masks.numpy(),
            mask_bytes=_integers(mask_bytes),
        )


def _integers(column: Tensor) -> NDArray[np.int64]:
    """`[n, 1]` -> `[n]`."""
    return column[:, 0].long().numpy()


def _in_file_pixels(detections: Detections, batch: Batch) -> Detections:
    return detections._replace(boxes=rescale(detections.boxes, batch.sizes, batch.original_sizes))


def _in_order(parts: Sequence[Detections], positions: Sequence[Tensor]) -> Detections:
    """Joins the detections of the parts of a batch; `positions` `[n]` of each part in the batch."""
    if len(parts) == 1:
        return parts[0]
    order = torch.cat(list(positions)).argsort()
    padding = {"labels": -1}
    joined = {
        name: nn.utils.rnn.pad_sequence(
            [image for part in parts for image in getattr(part, name)], True, padding.get(name, 0)
        )[order]
        for name, value in parts[0]._asdict().items()
        if value is not None
    }
    return Detections(**joined)
