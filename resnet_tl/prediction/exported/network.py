"""An exported graph in the place of a network: predictors and evaluation run it as they run one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.errors import RunError, memory_full
from resnet_tl.models.finite import all_finite
from resnet_tl.models.heads.segmentation.base import PixelLogits
from resnet_tl.models.network import Network
from resnet_tl.prediction.exported.description import Description
from resnet_tl.structures.records import Detections, Preprocessing

Runtime: TypeAlias = Callable[[NDArray[np.uint8]], list[NDArray[Any]]]
"""Runs a graph on images `[N, C, H, W]`; returns its outputs in order."""


class ExportedNetwork(nn.Module):
    """Returns a graph's outputs in the types that a `Network`'s head gives. It runs on the CPU, without gradients."""

    mean: Tensor

    def __init__(self, runtime: Runtime, description: Description, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.runtime, self.description, self.preprocessing = runtime, description, preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean))
        self.head = ExportedHead(description)

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> Any:
        """Returns what the head decodes: of segmentation `PixelLogits`, else the predictions themselves.

        Args:
            images: `[N, C, H, W]` uint8, without padding: the graph knows no `sizes`.
        """
        return self.head.joined([self._run(part) for part in self._parts(images)])

    def normalise(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Returns the images: the graph normalises them."""
        return images

    def run(self, images: Tensor) -> Any:
        return self(images)

    def _parts(self, images: Tensor) -> list[Tensor]:
        """Splits a batch into those that the graph takes."""
        batch = self.description.batch
        return [images] if batch is None else list(images.split(batch))

    def _run(self, images: Tensor) -> list[Tensor]:
        try:
            outputs = self.runtime(np.ascontiguousarray(images.cpu().numpy()))
        except Exception as error:  # each runtime has classes of errors of its own
            if memory_full(error) is not None:
                raise
            size = " x ".join(map(str, images.shape))
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise RunError(f"the exported graph fails on images of {size} (N x C x H x W): {first}") from error
        return [torch.from_numpy(output).to(images.device) for output in outputs]


AnyNetwork: TypeAlias = Network | ExportedNetwork
"""What predictors run."""


class ExportedHead(nn.Module):
    """The end of an exported graph: its outputs are predictions already."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.task, self.aligned = description.task, description.aligned
        thresholds = description.thresholds
        self.multi_label = thresholds is not None
        self.thresholds = None if thresholds is None else torch.tensor(thresholds)
        self.sd = torch.tensor(description.sd or [])
        self.coverage = description.coverage

    def joined(self, parts: list[list[Tensor]]) -> Any:
        """Joins the outputs of several runs to those of one batch."""
        if self.task != "detection":
            (output,) = (torch.cat(each) for each in zip(*parts, strict=True))
            return PixelLogits(output, None) if self.task == "segmentation" else output
        boxes, scores, labels, *masks = zip(*parts, strict=True)
        most = max(part.shape[1] for part in boxes)
        return Detections(
            _filled(boxes, most, 0.0),
            _filled(scores, most, 0.0),
            _filled(labels, most, -1),
            _filled(masks[0], most, 0.0) if masks else None,
        )

    def predict(self, outputs: Any) -> Any:
        """Returns the predictions in the outputs."""
        return outputs.main.softmax(1) if isinstance(outputs, PixelLogits) else outputs

    def loss(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        """Returns 0, or NaN for outputs that are not finite, by which evaluation knows them: a graph has no loss."""
        return {"finite": torch.tensor(0.0 if all_finite(outputs) else math.nan)}


def _filled(parts: tuple[Tensor, ...], most: int, value: float) -> Tensor:
    """Joins `[n, D, ...]` of several runs, whose numbers of objects D may differ."""
    missing = [most - part.shape[1] for part in parts]
    blanks = [
        part.new_full((len(part), lacking, *part.shape[2:]), value)
        for part, lacking in zip(parts, missing, strict=True)
    ]
    return torch.cat([torch.cat(pair, 1) for pair in zip(parts, blanks, strict=True)])
