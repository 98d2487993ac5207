"""Images in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.prediction.base import Options, Prediction, Predictor
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import AnyNetwork
from resnet_tl.prediction.loader import Input, one_size_loader
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import values_of


@dataclass(frozen=True)
class ValuePrediction(Prediction):
    """The numbers of one image, in the units of the training data.

    values: by name.
    intervals: by name, (low, high): between them lies the number of so many images as the head's `coverage` says, of
        images like those of validation; each number has an interval of its own. None where neither the head predicts
        quantiles nor validation has measured errors.
    pixels: `[h, w, C]` as the network sees the image; None unless the predictor's `keep_pixels` is set.
    image: `[H, W, C]` as decoded; None unless its `loader` keeps images.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] | None
    pixels: ImageArray | None = None
    image: ImageArray | None = None


class ValuePredictor(Predictor[ValuePrediction]):
    """A network that predicts numbers.

    Args:
        eval_transforms: the transforms of validation, as a recipe lists them; None for resizing and a centre crop.
        decisions: what validation decided.
        reduced_decoding: decode JPEGs at a fraction of their size, where that is enough, as validation did.
    """

    task: ClassVar[TaskName] = "regression"

    def __init__(
        self,
        network: AnyNetwork,
        classes: Sequence[str],
        *,
        eval_transforms: list[dict[str, Any]] | None = None,
        decisions: Decisions = Decisions(),
        reduced_decoding: bool = False,
        device: str = "cpu",
        batch_size: int = 32,
    ) -> None:
        loader = one_size_loader(network.preprocessing, len(network.mean), eval_transforms, reduce=reduced_decoding)
        super().__init__(network, classes, loader, device=device, batch_size=batch_size)
        self.decisions = decisions
        self.keep_pixels = False

    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterable[ValuePrediction]:
        predictions = self.network.head.predict(self.network(images))
        self.check_finite(predictions, inputs)
        for each, row in zip(inputs, predictions.cpu().numpy(), strict=True):
            values = dict(zip(self.classes, values_of(row).tolist(), strict=True))
            pixels = each.pixels if self.keep_pixels else None
            yield ValuePrediction(each.index, each.path, values, self._intervals(row), pixels=pixels, image=each.image)

    def _intervals(self, row: np.ndarray) -> dict[str, tuple[float, float]] | None:
        """row: `[T, Q]`."""
        margins = self.decisions.margins
        if margins is None and row.shape[1] == 1:
            return None
        return dict(zip(self.classes, _ends(row, margins or [0.0] * len(row)), strict=True))


def _ends(row: np.ndarray, margins: Sequence[float]) -> Iterator[tuple[float, float]]:
    for quantiles, margin in zip(row.tolist(), margins, strict=True):
        low, high = quantiles[0], quantiles[-1]
        middle = (low + high) / 2  # where a negative margin, of quantiles that are too far apart, stops
        yield min(low - margin, middle), max(high + margin, middle)
