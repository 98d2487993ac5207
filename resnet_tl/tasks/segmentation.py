"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.metrics.record import Record
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.metrics.surfaces import surface_distances
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
from resnet_tl.structures.evaluation import PixelEvaluation
from resnet_tl.structures.padding import unpadded
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task, total
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule


class Segmentation(Task):
    """Fine-tunes a semantic segmentation network.

    Args:
        classes: K names, in the order of the masks' indices.
        backbone, neck, head, tuning, optimizer, schedule: see `Task`.
        inference: how masks are predicted, also in validation.

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
        self.record = Record("losses")
        self.cells = Record("counts")
        self.spacing: float | None = None

    def measure_surfaces(self, spacing: float) -> None:
        """Makes evaluations outside of training measure how far predicted and true surfaces are apart.

        spacing: side of a pixel of the image files, in the unit of the distances.
        """
        self.spacing = spacing
        self.record = Record("losses", "surfaces")

    @property
    def segmenter(self) -> SegmentationHead:
        return cast(SegmentationHead, self.network.head)

    def use_data(self, data: Any, stage: str) -> None:
        super().use_data(data, stage)
        self.colours, self.metrics.absent = data.colours.tolist(), data.absent
        if stage == "fit":
            self.segmenter.set_class_counts(data.class_counts())

    @property
    def validates_each_image_once(self) -> bool:
        """Whether validation runs the network once on each image as it is, so that its features can be cached."""
        return self.inference == replace(Inference(), overlap=self.inference.overlap)

    def forward(self, images: Tensor) -> Tensor:
        """Returns probabilities `[N, K, H, W]` of images `[N, C, H, W]` (bytes)."""
        return segment(self.network, images, None, self.inference).softmax(1)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Returns the images' indices `[n]` in the listing and their masks `[n, H, W]` uint8, without fillers."""
        keep = batch.indices >= 0
        return batch.indices[keep], self._logits(batch).argmax(1)[keep].to(torch.uint8)

    def _logits(self, batch: Batch) -> Tensor:
        """Returns logits `[N, K, H, W]`, 0 in the padding."""
        if not isinstance(batch.images, Tensor):
            return self.network(batch.images, batch.sizes).main
        logits: Tensor | None = None
        for positions, images in unpadded(batch.images, batch.sizes):
            part = segment(self.network, images, None, self.inference)
            if images is batch.images:
                return part
            logits = part.new_zeros(len(batch), part.shape[1], *batch.images.shape[-2:]) if logits is None else logits
            logits[positions, :, : part.shape[-2], : part.shape[-1]] = part
        assert logits is not None
        return logits

    def _evaluate(self, batch: Batch, split: str) -> Tensor:
        """Returns the predicted masks `[N, H, W]` uint8."""
        logits, keep = self._logits(batch), batch.indices >= 0
        predicted = logits.argmax(1)
        # Boundaries take longer than the rest of an image's evaluation.
        confusions = self.metrics.update(predicted, batch.targets, keep, boundaries=not self.fitting)
        losses = torch.zeros(len(batch), device=predicted.device)
        with local_counts():  # one image at a time: the mean over images does not depend on batches and ranks
            for number in keep.nonzero().flatten().tolist():
                outputs = PixelLogits(logits[number, None], None)
                losses[number] = loss = total(self.segmenter.loss(outputs, batch.targets[number, None]))
                self.mean_loss.update(loss)
        if self.data is not None:
            self.record.update(indices=batch.indices, losses=losses, **self._surfaces(predicted, batch))
            image, target, prediction = confusions.nonzero(as_tuple=True)
            counts = torch.stack([target, prediction, confusions[image, target, prediction]], 1)
            self.cells.update(indices=batch.indices[image], counts=counts)
        return predicted.to(torch.uint8)

    def _surfaces(self, predicted: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Returns the distances `[N, K, 2]` of each image, if they are measured."""
        if self.spacing is None:
            return {}
        pixels = self.spacing * batch.original_sizes / batch.sizes
        each = zip(predicted, batch.targets, pixels.tolist(), strict=True)
        distances = [
            surface_distances(of_image, target, len(self.classes), (height, width))
            for of_image, target, (height, width) in each
        ]
        return {"surfaces": torch.from_numpy(np.stack(distances)).to(predicted.device)}

    def _evaluation(self, shared: dict[str, Any], rows: dict[str, NDArray]) -> PixelEvaluation:
        cells = self.cells.compute()
        self.cells.reset()
        image = np.searchsorted(rows["indices"], cells["indices"])
        counts = np.concatenate([image[:, None], cells["counts"]], 1)
        return PixelEvaluation(
            **shared,
            losses=rows["losses"],
            cells=counts,
            edges=self.metrics.results().edges,
            surfaces=rows.get("surfaces"),
        )
