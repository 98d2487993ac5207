"""The first images of each validation, sent to W&B."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.structures.records import Batch
from resnet_tl.tracking.loggers.wandb import Wandb

IMAGES = 4


class Images(Callback):
    """Sends the first images of each validation to W&B, if it is logged to, with targets and predictions overlaid.

    Attributes:
        key: their name in W&B.
    """

    key: str

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, Wandb)]
        if batch_idx or trainer.sanity_checking or not loggers:
            return
        if not isinstance(batch.images, Tensor) or not self.can_overlay(outputs):  # cached features have no images
            return
        overlays = self.overlays(outputs, batch, pl_module.classes)  # type: ignore[arg-type]
        sizes = batch.sizes[:IMAGES].tolist()
        images = [rgb(image[:, :height, :width]) for image, (height, width) in zip(batch.images, sizes, strict=False)]
        for logger in loggers:
            logger.log_image(self.key, images, trainer.global_step - 1, file_type=["jpg"] * len(images), **overlays)

    @abstractmethod
    def can_overlay(self, outputs: Any) -> bool:
        """Whether a task's `validation_step` returned what `overlays` expects."""

    @abstractmethod
    def overlays(self, outputs: Any, batch: Batch, classes: list[str]) -> dict[str, list[Any]]:
        """`boxes`, `masks` or both of the first `IMAGES` images, as `wandb.Image` takes them."""


def rgb(image: Tensor) -> np.ndarray:
    """`[C, H, W]` -> `[H, W, 3]` uint8: unless there are 3 channels, the first as grey; of 16 bits the upper 8."""
    bytes_ = image.cpu().numpy() if image.element_size() == 1 else (image.cpu().numpy() >> 8).astype(np.uint8)
    return np.ascontiguousarray((bytes_ if len(bytes_) == 3 else bytes_[[0, 0, 0]]).transpose(1, 2, 0))
