"""Classification: one class per image, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeAlias, cast

import numpy as np
import torch
from annotated_types import Ge, Le
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.record import Record
from resnet_tl.models.heads.classification import LinearHead, MLPHead, choose_thresholds
from resnet_tl.models.network import Backbone, HeadFactory, public_keys
from resnet_tl.ranges import checked
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.structures.records import Batch, Features
from resnet_tl.tasks.base import Task, total
from resnet_tl.tasks.mixing import mix
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.protocols import TeacherNetwork
from resnet_tl.tuning.rates import Optimizer, Schedule
from resnet_tl.weights.file_classifier import file_classifier
from resnet_tl.weights.report import abbreviated

Alpha: TypeAlias = Annotated[float, Ge(0), Le(0)] | Annotated[float, Ge(0.01), Le(100)]
"""Below 0.01, the logarithms of torch's Beta distribution underflow: it gives shares of one half, not of 0 and 1."""

RECORDED = 10**8
"""Images times classes at most, of which all probabilities are recorded (400 MB)."""


@checked("model")
class Classification(Task):
    """Fine-tunes a classifier of one class per image or, with the head's `multi_label`, several.

    Args:
        classes: K names, in the data's order.
        backbone, head, tuning, optimizer, schedule: see `Task`.
        mixup, cutmix: alpha of the Beta distribution of the mixing share (arXiv:1710.09412, arXiv:1905.04899), 0.01
            or more; 0: off. With both, each batch uses one of them.

    Logs `train/loss`, `val/loss`, and `val/acc`, `val/top5`, `val/f1`, `val/ece` (multi-label: `val/map`, `val/f1`).
    """

    teacher: TeacherNetwork | None = None
    """What `tuning.teacher` names: see `resnet_tl.run.teacher.read_teacher`."""

    def __init__(
        self,
        classes: list[str],
        backbone: Backbone = Backbone(),
        head: HeadFactory = LinearHead,
        tuning: Tuning = Tuning(),
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
        mixup: Alpha = 0.0,
        cutmix: Alpha = 0.0,
    ) -> None:
        super().__init__(classes, backbone=backbone, head=head, tuning=tuning, optimizer=optimizer, schedule=schedule)
        self.mixup, self.cutmix = mixup, cutmix
        self.metrics = ClassificationMetrics(self.classes, multi_label=self.classifier.multi_label)
        self.record = Record("probabilities", "targets")

    @property
    def classifier(self) -> LinearHead:
        return cast(LinearHead, self.network.head)

    @property
    def multi_label(self) -> bool:
        return self.classifier.multi_label

    def classifier_input(self) -> nn.Module:
        return self.classifier.dropout

    def classifier_layer(self) -> nn.Linear:
        return self.classifier.fc

    def old_classifier(self, reader: str) -> nn.Linear:
        if isinstance(self.classifier, MLPHead):
            raise RecipeError(
                f"tuning.regularisers: {reader} reads pooled features by the weight file's classifier, but MLPHead has "
                "a layer before its own; use LinearHead"
            )
        assert self.backbone.weights is not None
        return file_classifier(
            self.network,
            self.backbone.weights,
            self.classifier.fc.in_features,
            sha256=self.backbone.sha256,
            keys=public_keys(self.network),
        )

    def spec(self) -> dict[str, Any]:
        spec = super().spec()
        return {**spec, "init_args": {**spec["init_args"], "mixup": self.mixup, "cutmix": self.cutmix}}

    def use_data(self, data: Any, stage: str) -> None:
        super().use_data(data, stage)
        if data.multi_label != self.classifier.multi_label:
            kind = "several labels per image" if data.multi_label else "one label per image"
            raise RecipeError(f"the data has {kind}; set model.head.multi_label: {str(data.multi_label).lower()}")
        self.metrics.absent = data.absent
        if stage == "fit" and getattr(data, "unlabelled", None) is not None and self.tuning.teacher is None:
            raise RecipeError(
                "data.unlabelled names images that only a teacher has targets for; add model.tuning.teacher, or omit it"
            )
        if stage == "fit":
            counts = data.class_counts()
            self.classifier.set_class_counts(counts)
            self._spare_known_classes(counts)

    def _spare_known_classes(self, counts: Sequence[int]) -> None:
        """Leaves the classes that are known from the weights, and have no images to train on, out of the loss. A single
        other class has nothing else to be told from."""
        if self.backbone.keep_classifier != "known":
            return
        trained = [k for k, name in enumerate(self.classes) if counts[k] or name in self.new_classes]
        if 1 < len(trained) < len(self.classes):
            others = [name for k, name in enumerate(self.classes) if k not in trained]
            self.classifier.trained_classes = torch.tensor(trained, device=self.device)
            rank_zero_info(
                f"no images to train on of {abbreviated(others)}: the loss of training is over the other classes, so "
                "that their rows stay as they are (data.replay trains on old images)"
            )

    def mixes(self) -> str | None:
        """Returns the setting that blends the images of a training batch, or None."""
        return next((f"model.{name}" for name in ("mixup", "cutmix") if getattr(self, name)), None)

    def forward(self, images: Tensor) -> Tensor:
        """Returns probabilities `[N, K]` of images `[N, C, H, W]` (bytes)."""
        return self.classifier.predict(self.network(images))

    def whole_batch(self, batch: Batch) -> Batch:
        """Returns the batch with normalised images, and mixed ones if there is `mixup` or `cutmix`; those without
        targets are mixed among themselves."""
        images, targets, unlabelled = self.network.normalise(batch.images), batch.targets, batch.unlabelled
        if isinstance(images, Tensor):
            images, targets = mix(images, targets, len(self.classes), mixup=self.mixup, cutmix=self.cutmix)
        if unlabelled is not None:
            others = self.network.normalise(unlabelled.images)
            others, _ = mix(others, others.new_zeros(len(others), 1), 1, mixup=self.mixup, cutmix=self.cutmix)
            unlabelled = replace(unlabelled, images=others)
        return replace(batch, images=images, targets=targets, unlabelled=unlabelled)

    def loss_terms(self, batch: Batch) -> dict[str, Tensor]:
        if batch.unlabelled is None:
            return self.training_losses(batch.images, None, batch.targets)
        images = torch.cat([cast(Tensor, batch.images), batch.unlabelled.images])
        return self.training_losses(images, None, batch.targets, batch.unlabelled.share)

    def losses(self, images: Tensor | Features, sizes: Tensor | None, targets: Any) -> dict[str, Tensor]:
        outputs = self.network.run(images, sizes)
        if len(outputs) > len(targets):
            outputs = outputs[: len(targets)]  # images without targets come last
        return self.classifier.loss(outputs, targets)

    def calibration_step(self, batch: Batch) -> None:
        """Runs the network as in training, without mixup, for `tuning.recalibrate`."""
        self.network(batch.images)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Returns the images' indices `[n]` in the listing and their probabilities `[n, K]`, without fillers."""
        _, probabilities = self._predict(batch)
        keep = batch.indices >= 0
        return batch.indices[keep], probabilities[keep]

    def _predict(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns outputs `[N*V, K]`, and probabilities `[N, K]`: the mean over the views."""
        outputs = self.network(batch.images)
        return outputs, self.classifier.predict(outputs).unflatten(0, (len(batch), -1)).mean(1)

    def _evaluate(self, batch: Batch, split: str) -> None:
        outputs, probabilities = self._predict(batch)
        keep, views = batch.indices >= 0, len(outputs) // len(batch)
        self.metrics.update(probabilities, batch.targets, keep)
        if self.data is not None and len(self.data.evaluated(split)) * len(self.classes) <= RECORDED:
            self.record.update(indices=batch.indices, probabilities=probabilities, targets=batch.targets)
        keep_views = keep.repeat_interleave(views)
        terms = self.classifier.loss(outputs[keep_views], batch.targets.repeat_interleave(views, 0)[keep_views])
        # Of fillers alone the mean is NaN.
        self.mean_loss.update(total(terms).where(keep_views.any(), 0), weight=keep_views.sum())

    def _evaluation(self, shared: dict[str, Any], rows: dict[str, NDArray]) -> ClassEvaluation:
        probabilities, targets, thresholds = rows["probabilities"], rows["targets"], self.classifier.thresholds
        if thresholds is not None:
            targets = targets > 0
            of_truth = np.where(targets, probabilities, 1 - probabilities)
        else:
            of_truth = probabilities[np.arange(len(targets)), targets, None]
        return ClassEvaluation(
            **shared,
            losses=-np.log(of_truth.clip(np.finfo(np.float32).tiny)).mean(1),
            probabilities=probabilities,
            targets=targets,
            thresholds=np.zeros(0, np.float32) if thresholds is None else thresholds.cpu().numpy(),
        )

    def _metric_options(self) -> dict[str, Any]:
        """In training, automatic thresholds are first chosen on the validation set."""
        head = self.classifier
        if self.fitting and head.auto_thresholds and head.thresholds is not None:
            results = self.metrics.results()
            head.thresholds.copy_(choose_thresholds(results.probabilities, results.targets))
        return {"thresholds": head.thresholds}
