"""What is exported: the network from bytes to predictions, with the numbers of its preprocessing and calibration.

Letters in shapes: N images, C channels, H x W pixels, K classes, D detections, S the side of a mask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet_tl.models.fold import fold
from resnet_tl.models.heads.two_stage import FasterRCNN
from resnet_tl.models.network import Network
from resnet_tl.prediction.exported.description import OUTPUTS, TaskName


class Graph(nn.Module):
    """Maps images `[N, C, H, W]`, uint8, RGB, resized as in validation, to what `names` lists.

    classification: probabilities `[N, K]`, calibrated. regression: values `[N, T, Q]`, the number or its quantiles in
    ascending order, without the margins of intervals (`Decisions.margins`). segmentation: logits `[N, K, H, W]`.
    detection: boxes `[N, D, 4]` x1, y1, x2, y2 in pixels of the images; scores `[N, D]`, best first; labels `[N, D]`,
    -1 where an image has fewer than D objects; of heads with masks also masks `[N, D, S, S]`, probabilities over each
    box.

    Args:
        network: it is copied, with its batch norms folded.
        temperature: of a classifier, see `Decisions`.

    batch: the only number of images N that a file of it takes; None for any.
    """

    temperature: Tensor | None

    def __init__(self, network: Network, task: TaskName, temperature: list[float] | None = None) -> None:
        super().__init__()
        self.network = fold(network)
        self.task = task
        self.batch = 1 if isinstance(network.head, FasterRCNN) else None
        self.multi_label = getattr(network.head, "thresholds", None) is not None
        self.register_buffer("temperature", None if temperature is None else torch.tensor(temperature))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(images)
        if self.task == "segmentation":
            return (outputs.main,)
        if self.task == "regression":
            return (self.network.head.predict(outputs),)
        if self.task == "classification":
            return (self._calibrated(self.network.head.predict(outputs)),)
        return tuple(part for part in self.network.head.predict(outputs) if part is not None)

    def names(self, outputs: int) -> list[str]:
        """Names the first `outputs` outputs."""
        return list(OUTPUTS[self.task][:outputs])

    def _calibrated(self, probabilities: Tensor) -> Tensor:
        """Applies the temperature to probabilities `[N, K]`, as `Decisions.calibrated` does."""
        if self.temperature is None:
            return probabilities
        logs = probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()
        if not self.multi_label:
            return (logs / self.temperature).softmax(1)
        return (
            (logs - (1 - probabilities).clamp(min=torch.finfo(torch.float32).tiny).log()) / self.temperature
        ).sigmoid()
