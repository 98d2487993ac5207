"""Validation's first images, for W&B."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.structures.records import Batch
from resnet_tl.tracking.loggers.build import Wandb

SHOWN = 4


class Images(Callback):
    """Sends the first images of each validation to W&B, where there is such a logger, with what is true and what was
    answered over them.

    Attributes: `key`, what they are called.
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
        if not isinstance(batch.images, Tensor) or not self.is_answer(outputs):  # kept features show nothing
            return
        overlays = self.overlays(outputs, batch, pl_module.classes)  # type: ignore[arg-type]
        sizes = batch.sizes[:SHOWN].tolist()
        images = [rgb(image[:, :height, :width]) for image, (height, width) in zip(batch.images, sizes, strict=False)]
        for logger in loggers:
            logger.log_image(self.key, images, trainer.global_step, **overlays)

    @abstractmethod
    def is_answer(self, outputs: Any) -> bool:
        """Whether a task's `validation_step` has returned what `overlays` reads."""

    @abstractmethod
    def overlays(self, outputs: Any, batch: Batch, classes: list[str]) -> dict[str, list[Any]]:
        """`boxes` or `masks`, or both, of the first `SHOWN` images, as `wandb.Image` takes them."""


def rgb(image: Tensor) -> np.ndarray:
    """`[C, H, W]` -> `[H, W, 3]` uint8; of other than three channels the first, 16 bits by their upper 8."""
    bytes_ = image.cpu().numpy() if image.element_size() == 1 else (image.cpu().numpy() >> 8).astype(np.uint8)
    return np.ascontiguousarray((bytes_ if len(bytes_) == 3 else bytes_[[0, 0, 0]]).transpose(1, 2, 0))
