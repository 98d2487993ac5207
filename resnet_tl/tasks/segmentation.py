"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import MeanMetric

from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.models.heads.segmentation.base import PixelLogits, SegmentationHead
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead  # noqa: F401  known by name
from resnet_tl.models.heads.segmentation.fcn import FCNHead  # noqa: F401
from resnet_tl.models.heads.segmentation.psp import PSPHead  # noqa: F401
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead  # noqa: F401
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.inference import Inference, segment
from resnet_tl.models.network import Backbone, HeadFactory, NeckFactory
from resnet_tl.models.pyramid import FPN, PAN  # noqa: F401
from resnet_tl.models.ranks import local_counts
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule


class Segmentation(Task):
    """Fine-tunes a network that segments.

    Args:
        classes: K names, in the order of the masks' indices.
        backbone, neck, head, tuning, optimizer, schedule: see `Task`.
        inference: how masks are predicted, in validation too.

    Logs `train/loss`, `val/loss`, `val/miou`, `val/pixel_acc`; `val/boundary_f1` outside of training.
    """

    def __init__(
        self,
        classes: list[str],
        backbone: Backbone = Backbone(),
        neck: NeckFactory | None = None,
        head: HeadFactory = UNetHead,
        tuning: Tuning = Tuning(),
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        inference: Inference = Inference(),
    ) -> None:
        super().__init__(
            classes, backbone=backbone, neck=neck, head=head, tuning=tuning, optimizer=optimizer, schedule=schedule
        )
        self.inference = inference
        self.metrics = SegmentationMetrics(self.classes)
        self.mean_loss = MeanMetric()

    @property
    def segmenter(self) -> SegmentationHead:
        return cast(SegmentationHead, self.network.head)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None:
            self.colours = data.colours.tolist()
            if stage == "fit":
                self.segmenter.set_class_counts(data.class_counts())

    @property
    def validates_each_image_once(self) -> bool:
        """Whether validation runs the network once on each image as it is, so that its features can be cached."""
        return self.inference == replace(Inference(), overlap=self.inference.overlap)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities `[N, K, H, W]` of images `[N, C, H, W]` (bytes)."""
        return segment(self.network, images, None, self.inference).softmax(1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.segmenter.loss(self.network(batch.images, batch.sizes), batch.targets)
        loss = torch.stack(list(terms.values())).sum()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def calibration_step(self, batch: Batch) -> None:
        """What training computes of a batch's images."""
        self.network(batch.images, batch.sizes)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The masks `[N, H, W]` uint8 that it judges."""
        return self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Of the batch's images, fillers left out: their indices `[n]` in the listing, masks `[n, H, W]` uint8."""
        keep = batch.indices >= 0
        return batch.indices[keep], self._logits(batch).argmax(1)[keep].to(torch.uint8)

    def _logits(self, batch: Batch) -> Tensor:
        if isinstance(batch.images, Tensor):
            return segment(self.network, batch.images, batch.sizes, self.inference)
        return self.network(batch.images, batch.sizes).main

    def _evaluate(self, batch: Batch) -> Tensor:
        logits, keep = self._logits(batch), batch.indices >= 0
        said = logits.argmax(1)
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        # Boundaries take longer than the rest of an image's evaluation.
        self.metrics.update(said, batch.targets, keep, boundaries=not fitting)
        with (
            local_counts()
        ):  # an image at a time, so that the mean is one of images, whatever their batches and processes
            for number in keep.nonzero().flatten().tolist():
                outputs = PixelLogits(logits[number, None], None)
                losses = self.segmenter.loss(outputs, batch.targets[number, None])
                self.mean_loss.update(torch.stack(list(losses.values())).sum())
        return said.to(torch.uint8)

    def _log_metrics(self, split: str) -> None:
        values = {"loss": self.mean_loss.compute(), **self.metrics.compute()}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})
        self.tables = self.metrics.tables()
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.interval = self.metrics.interval()
        self.metrics.reset()
        self.mean_loss.reset()
