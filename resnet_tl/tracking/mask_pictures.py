"""Validation's pictures under their masks, for W&B."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_tl.records import IGNORE, Batch
from resnet_tl.tracking.loggers import Wandb

SHOWN = 4


class MaskPictures(Callback):
    """Sends the first pictures of each validation to W&B, where there is such a logger, with true and answered masks.

    A task that answers with masks returns them, `[N, H, W]` class indices, from its `validation_step`.
    """

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
        if not isinstance(outputs, Tensor) or not isinstance(batch.images, Tensor):  # kept features show nothing
            return
        names = {**dict(enumerate(pl_module.classes)), IGNORE: "ignored"}  # type: ignore[arg-type]
        pictures, masks = [], []
        for index in range(min(SHOWN, len(batch))):
            height, width = batch.sizes[index].tolist()
            pictures.append(rgb(batch.images[index, :, :height, :width]))
            masks.append(
                {
                    name: {"mask_data": mask[index, :height, :width].cpu().numpy(), "class_labels": names}
                    for name, mask in (("prediction", outputs), ("ground_truth", batch.targets))
                }
            )
        for logger in loggers:
            logger.log_image("val/masks", pictures, trainer.global_step, masks=masks)


def rgb(image: Tensor) -> np.ndarray:
    """`[C, H, W]` -> `[H, W, 3]` uint8; of other than three channels the first, 16 bits by their upper 8."""
    bytes_ = image.cpu().numpy() if image.element_size() == 1 else (image.cpu().numpy() >> 8).astype(np.uint8)
    return np.ascontiguousarray((bytes_ if len(bytes_) == 3 else bytes_[[0, 0, 0]]).transpose(1, 2, 0))
