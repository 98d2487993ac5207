"""Validation images with their masks, for W&B."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from resnet_tl.structures.records import IGNORE, Batch
from resnet_tl.tracking.loggers.images import IMAGES, Images


class MaskImages(Images):
    """True and predicted masks. A segmentation task returns the predicted ones, `[N, H, W]` class indices, from its
    `validation_step`."""

    key = "val/masks"

    def can_overlay(self, outputs: Any) -> bool:
        return isinstance(outputs, Tensor)

    def overlays(self, outputs: Tensor, batch: Batch, classes: list[str]) -> dict[str, list[Any]]:
        names = {**dict(enumerate(classes)), IGNORE: "ignored"}
        masks = []
        for index, (height, width) in enumerate(batch.sizes[:IMAGES].tolist()):
            masks.append(
                {
                    name: {"mask_data": mask[index, :height, :width].cpu().numpy(), "class_labels": names}
                    for name, mask in (("prediction", outputs), ("ground_truth", batch.targets))
                }
            )
        return {"masks": masks}
