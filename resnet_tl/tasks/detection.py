"""Detection: boxes of objects, and their masks."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import cast

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torchmetrics import MeanMetric

from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.base import DetectionHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet  # noqa: F401  known by name
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN  # noqa: F401
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.ranks import local_counts
from resnet_tl.structures.boxes import rescale
from resnet_tl.structures.masks import resize as resize_mask
from resnet_tl.structures.records import Batch, Boxes, Detections
from resnet_tl.tasks.base import Task
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule
from resnet_tl.weights.records import WeightRecord


class Detection(Task):
    """Fine-tunes a network that finds objects.

    Args:
        classes: K names, in the order of the targets' labels.
        backbone, neck, head, tuning, optimizer, schedule: see `Task`; the head is a `DetectionHead`.

    Logs `train/loss` and its terms (`train/loss_class`, ...), `val/loss`, and COCO's numbers: `val/map`, `val/map50`,
    ..., of masks `val/mask_map`, .... `val/loss` is the mean over images of each one's loss by itself, its samples
    drawn by the image's number: neither the batch nor the number of processes changes it.
    """

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
        self.metrics = DetectionMetrics(self.classes)
        self.mean_loss = MeanMetric()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None:
            self.codes = data.codes

    @property
    def detector(self) -> DetectionHead:
        return cast(DetectionHead, self.network.head)

    def forward(self, images: Tensor) -> Detections:
        """What is found on images `[N, C, H, W]` (bytes), in their pixels."""
        return self.detector.predict(self.network(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.detector.loss(self.network(batch.images, batch.sizes), batch.targets)
        loss = torch.stack(list(terms.values())).sum()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        self.log_dict({f"train/loss_{name}": term.detach() for name, term in terms.items()}, batch_size=len(batch))
        return loss

    def calibration_step(self, batch: Batch) -> None:
        """What training computes of a batch's images."""
        self.network(batch.images, batch.sizes)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Detections]:
        """`found`: in pixels of the batch's images, for whoever shows it."""
        return {"detections": self._evaluate(batch, "val")}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Detections]:
        """Of the batch's images, fillers left out: their indices `[n]` in the listing, and what is found, in pixels
        of the files."""
        found = _in_files(self.detector.predict(self.network(batch.images, batch.sizes)), batch)
        keep = batch.indices >= 0
        masks = None if found.masks is None else found.masks[keep]
        return batch.indices[keep], Detections(found.boxes[keep], found.scores[keep], found.labels[keep], masks)

    def _load_weights(self, weights: str) -> WeightRecord:
        record, anchors = super()._load_weights(weights), getattr(self.detector, "anchors", None)
        if isinstance(anchors, Anchors) and record.floor_strides and not anchors.floor_strides:
            rank_zero_info("  these were trained with floor_strides: true of the head, which says false")
        return record

    def _truth(self, batch: Batch, split: str) -> Boxes:
        """In pixels of the files: as the data module has it, or rescaled."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None:
            return data.truth(split, batch.indices.tolist()).to(self.device)
        targets: Boxes = batch.targets
        sizes, originals = batch.sizes[targets.image], batch.original_sizes[targets.image]
        boxes = rescale(targets.boxes[:, None], sizes, originals)[:, 0]
        area = targets.area * originals.prod(1) / sizes.prod(1)
        each = zip(targets.masks or [], sizes.tolist(), originals.tolist(), strict=False)
        return replace(targets, boxes=boxes, area=area, masks=[resize_mask(*mask) for mask in each])

    def _evaluate(self, batch: Batch, split: str) -> Detections:
        outputs = self.network(batch.images, batch.sizes)
        found = self.detector.predict(outputs)
        truth, originals = self._truth(batch, split), batch.original_sizes
        self.metrics.update(_in_files(found, batch), truth, batch.indices, originals)
        each = batch.targets.split(len(batch))
        devices = [self.device] if self.device.type == "cuda" else []
        with local_counts(), torch.random.fork_rng(devices):
            for number, index in enumerate(batch.indices.tolist()):
                if index >= 0:
                    torch.manual_seed(index)
                    terms = self.detector.loss(outputs.image(number), Boxes.join([each[number]]))
                    self.mean_loss.update(torch.stack(list(terms.values())).sum())
        return found

    def _log_metrics(self, split: str) -> None:
        values = {"loss": self.mean_loss.compute(), **self.metrics.compute()}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})
        self.tables = self.metrics.tables()
        self.metrics.reset()
        self.mean_loss.reset()


def _in_files(found: Detections, batch: Batch) -> Detections:
    """In pixels of the files."""
    return found._replace(boxes=rescale(found.boxes, batch.sizes, batch.original_sizes))
