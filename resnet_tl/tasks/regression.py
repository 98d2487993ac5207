"""Regression: one or several numbers of an image."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.errors import DataError
from resnet_tl.metrics.record import Record
from resnet_tl.metrics.regression import RegressionMetrics
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.network import Backbone, HeadFactory
from resnet_tl.ranges import checked
from resnet_tl.structures.evaluation import ValueEvaluation
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task, total
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule


@checked("model")
class Regression(Task):
    """Fine-tunes a network that predicts numbers of images, such as an age, a weight and a quality score.

    Args:
        classes: names of the T numbers, in the data's order.
        backbone, head, tuning, optimizer, schedule: see `Task`.

    Logs `train/loss`, `val/loss`, and `val/mae`, `val/rmse`, `val/r2`, with quantiles `val/coverage`. The epoch with
    the lowest `val/mae` is the best.
    """

    def __init__(
        self,
        classes: list[str],
        backbone: Backbone = Backbone(),
        head: HeadFactory = RegressionHead,
        tuning: Tuning = Tuning(),
        optimizer: Optimizer = Optimizer(),
        schedule: Schedule = Schedule(),
    ) -> None:
        super().__init__(classes, backbone=backbone, head=head, tuning=tuning, optimizer=optimizer, schedule=schedule)
        self.metrics = RegressionMetrics(self.classes)
        self.record = Record("predictions", "targets", "losses")

    @property
    def regressor(self) -> RegressionHead:
        return cast(RegressionHead, self.network.head)

    def use_data(self, data: Any, stage: str) -> None:
        super().use_data(data, stage)
        if stage == "fit":
            values = data.training_values().astype(np.float64)
            mean, sd = values.mean(0), values.std(0)
            for name, middle, spread in zip(self.classes, mean, sd, strict=True):
                if spread <= 1e-6 * abs(middle):  # fp32 does not tell them apart
                    raise DataError(
                        f"{data.root}: {name!r} is {middle:g} in all {len(values)} training images; expected numbers "
                        "that differ"
                    )
            self.regressor.set_scale(mean, sd)

    def forward(self, images: Tensor) -> Tensor:
        """Returns predictions `[N, T, Q]` of images `[N, C, H, W]` (bytes), in the numbers' units."""
        return self.regressor.predict(self.network(images))

    def loss_terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.training_losses(self.network.normalise(batch.images), None, batch.targets)

    def calibration_step(self, batch: Batch) -> None:
        self.network(batch.images)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Returns the images' indices `[n]` in the listing and their predictions `[n, T, Q]`, without fillers."""
        outputs = self._outputs(batch)
        keep = batch.indices >= 0
        return batch.indices[keep], self.regressor.predict(outputs)[keep]

    def _outputs(self, batch: Batch) -> Tensor:
        """Returns outputs `[N, T, Q]`: the mean over the views."""
        return self.network(batch.images).unflatten(0, (len(batch), -1)).mean(1)

    def _evaluate(self, batch: Batch, split: str) -> None:
        outputs, keep = self._outputs(batch), batch.indices >= 0
        predictions = self.regressor.predict(outputs)
        self.metrics.update(predictions, batch.targets, keep)
        terms = total(self.regressor.loss(outputs[keep], batch.targets[keep]))
        self.mean_loss.update(terms.where(keep.any(), 0), weight=keep.sum())
        if self.data is not None:
            sd = self.regressor.sd[:, None].to(predictions.device)
            losses = ((predictions - batch.targets[..., None]) / sd).abs()[..., predictions.shape[-1] // 2].mean(1)
            self.record.update(indices=batch.indices, predictions=predictions, targets=batch.targets, losses=losses)

    def _evaluation(self, shared: dict[str, Any], rows: dict[str, NDArray]) -> ValueEvaluation:
        columns: dict[str, Any] = {name: rows[name].astype(np.float32) for name in ("predictions", "targets", "losses")}
        return ValueEvaluation(**shared, **columns, sd=self._sd(), coverage=self.regressor.coverage)

    def _metric_options(self) -> dict[str, Any]:
        self.metrics.sd = self._sd().astype(np.float64)
        return {}

    def _sd(self) -> NDArray[np.float32]:
        sd: NDArray[np.float32] = self.regressor.sd.float().cpu().numpy()
        return sd
