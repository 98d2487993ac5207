"""Masks of single validation images, predicted again to be drawn: records of a validation hold counts of pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.prediction.drawing import to_rgb
from resnet_tl.tasks.segmentation import Segmentation


class MaskedImage(NamedTuple):
    """pixels: `[H, W, 3]` at the size of validation. true, predicted: `[H, W]` class indices, 255 is ignored."""

    pixels: NDArray[np.uint8]
    true: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


class PredictedMasks:
    """Call it within a validation, with the key of an image."""

    def __init__(self, data: SegmentationData, task: Segmentation) -> None:
        self.data, self.task = data, task

    def __call__(self, key: str) -> MaskedImage:
        """Raises DataError where the image or its mask cannot be read any more."""
        batch = self.data.evaluation_batch("val", self.data.evaluated("val").keys().index(key))
        with self.task.trainer.precision_plugin.forward_context():
            _, (predicted,) = self.task.predict_step(batch.to(self.task.device), 0)
        assert isinstance(batch.images, Tensor)  # those of files are no cached features
        height, width = batch.sizes[0].tolist()
        pixels = to_rgb(batch.images[0, :, :height, :width].permute(1, 2, 0).numpy())
        return MaskedImage(pixels, batch.targets[0, :height, :width].numpy(), predicted[:height, :width].cpu().numpy())
