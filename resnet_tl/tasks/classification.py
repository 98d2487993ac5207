"""Classification: one class an image, or any number of them."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import MeanMetric

from resnet_tl.errors import RecipeError
from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.models.heads.classification import LinearHead, choose_thresholds
from resnet_tl.models.network import Backbone, HeadFactory
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task
from resnet_tl.tasks.mixing import mix
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule


class Classification(Task):
    """Fine-tunes a classifier. The head decides between one class an image and several (`multi_label`).

    Args:
        classes: K names, sorted as the data's.
        backbone, head, tuning, optimizer, schedule: see `Task`.
        mixup, cutmix: alpha of the Beta distribution of the share mixed in (arXiv:1710.09412, arXiv:1905.04899); 0 is
            off; with both, each batch takes one of them.

    Logs `train/loss`, `val/loss`, and `val/acc`, `val/top5`, `val/f1`, `val/ece` (multi-label: `val/map`, `val/f1`).
    """

    def __init__(
        self,
        classes: list[str],
        backbone: Backbone = Backbone(),
        head: HeadFactory = LinearHead,
        tuning: Tuning = Tuning(),
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__(classes, backbone=backbone, head=head, tuning=tuning, optimizer=optimizer, schedule=schedule)
        self.mixup, self.cutmix = mixup, cutmix
        self.metrics = ClassificationMetrics(self.classes, multi_label=self.classifier.multi_label)
        self.mean_loss = MeanMetric()

    @property
    def classifier(self) -> LinearHead:
        return cast(LinearHead, self.network.head)

    def spec(self) -> dict[str, Any]:
        spec = super().spec()
        return {**spec, "init_args": {**spec["init_args"], "mixup": self.mixup, "cutmix": self.cutmix}}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            return
        if data.multi_label != self.classifier.multi_label:
            kind = "several labels an image" if data.multi_label else "one label an image"
            raise RecipeError(f"the data has {kind}; set model.head.multi_label: {str(data.multi_label).lower()}")
        if stage == "fit":
            self.classifier.set_class_counts(data.class_counts())

    def mixes(self) -> str | None:
        """What blends images in a batch before the network sees them, if anything does."""
        return next((f"model.{name}" for name in ("mixup", "cutmix") if getattr(self, name)), None)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities `[N, K]` of images `[N, C, H, W]` (bytes)."""
        return self.classifier.predict(self.network(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = self.network.normalise(batch.images), batch.targets
        if isinstance(images, Tensor):
            images, targets = mix(images, targets, len(self.classes), mixup=self.mixup, cutmix=self.cutmix)
        outputs = self.network.run(images)
        loss = torch.stack(list(self.classifier.loss(outputs, targets).values())).sum()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def calibration_step(self, batch: Batch) -> None:
        """What training computes of a batch's images, as they are without mixup."""
        self.network(batch.images)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Of the batch's images, fillers left out: their indices `[n]` in the listing, and probabilities `[n, K]`."""
        _, probabilities = self._answers(batch)
        keep = batch.indices >= 0
        return batch.indices[keep], probabilities[keep]

    def _answers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs `[N*V, K]`, and probabilities `[N, K]`: the mean over the views."""
        outputs = self.network(batch.images)
        return outputs, self.classifier.predict(outputs).unflatten(0, (len(batch), -1)).mean(1)

    def _evaluate(self, batch: Batch) -> None:
        outputs, probabilities = self._answers(batch)
        keep, views = batch.indices >= 0, len(outputs) // len(batch)
        self.metrics.update(probabilities, batch.targets, keep)
        kept = keep.repeat_interleave(views)
        losses = self.classifier.loss(outputs[kept], batch.targets.repeat_interleave(views, 0)[kept])
        self.mean_loss.update(torch.stack(list(losses.values())).sum(), weight=kept.sum())

    def _log_metrics(self, split: str) -> None:
        head, fitting = self.classifier, self.trainer.state.fn == TrainerFn.FITTING
        if fitting and head.auto_thresholds and head.thresholds is not None:
            answers = self.metrics.results()
            head.thresholds.copy_(choose_thresholds(answers.probabilities, answers.targets))
        values = {"loss": self.mean_loss.compute(), **self.metrics.compute(head.thresholds)}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})
        self.tables = self.metrics.tables(head.thresholds)
        if not fitting:  # it takes seconds for a large multi-label set
            self.interval = self.metrics.interval()
        self.metrics.reset()
        self.mean_loss.reset()
