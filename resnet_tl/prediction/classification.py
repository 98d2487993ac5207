"""Images in, classes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.resize import Interpolation
from resnet_tl.data.images.transforms import evaluation_transform
from resnet_tl.models.network import Network
from resnet_tl.prediction.base import Options, Prediction, Predictor
from resnet_tl.prediction.loader import Input, Loader
from resnet_tl.structures.decisions import Decisions


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """The classes of one image.

    classes, scores: best first: the likeliest ones, or (multi-label) all that reach their threshold, maybe none.
    probabilities: of every class, `[K]` float32, in the order of the predictor's `classes`.

    Scores and probabilities are calibrated where the checkpoint holds a temperature.
    """

    classes: list[str]
    scores: list[float]
    probabilities: npt.NDArray[np.float32]
    multi_label: bool = False


class ClassPredictor(Predictor[ClassPrediction]):
    """A network that classifies images.

    Args:
        eval_transforms: the transforms of validation, as a recipe lists them; None for resizing and a centre crop.
        decisions: what validation decided.
        reduced_decoding: decode JPEGs at a fraction of their size, where that is enough, as validation did.
    """

    task: ClassVar[str] = "classification"

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        *,
        eval_transforms: list[dict[str, Any]] | None = None,
        decisions: Decisions = Decisions(),
        reduced_decoding: bool = False,
        device: str = "cpu",
        batch_size: int = 32,
    ) -> None:
        channels, preprocessing = len(network.mean), network.preprocessing
        if eval_transforms is None:
            interpolation = cast(Interpolation, preprocessing.interpolation)
            transform = evaluation_transform(preprocessing.size, preprocessing.crop, interpolation)
            loader = Loader(transform, channels, reduce=reduced_decoding)
        else:  # in one thread, because albumentations keeps state in its transforms
            loader = Loader(ListedTransforms(eval_transforms), channels, reduce=reduced_decoding, threads=1)
        super().__init__(network, classes, loader, device=device, batch_size=batch_size)
        self.decisions = decisions

    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterator[ClassPrediction]:
        thresholds = getattr(self.network.head, "thresholds", None)
        limits = None if thresholds is None else thresholds.cpu().numpy()
        outputs = self.network.head.predict(self.network(images))
        self._check_finite(outputs, inputs)
        raw = outputs.cpu().numpy()
        calibrated = self.decisions.calibrated(raw, multi_label=limits is not None)
        # The network's own probabilities decide: equal to them in order, calibrated ones may be rounded to ties.
        for each, own, row in zip(inputs, raw, calibrated, strict=True):
            order = np.argsort(-own, kind="stable")
            order = order[: options.top] if limits is None else order[own[order] >= limits[order]]
            names, scores = [self.classes[k] for k in order], row[order].tolist()
            yield ClassPrediction(each.index, each.path, names, scores, row, multi_label=limits is not None)
