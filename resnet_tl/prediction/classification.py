"""Images in, classes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.metrics.outliers import LEAST, SCORES
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.prediction.base import Options, Prediction, Predictor, Unsure
from resnet_tl.prediction.embedding import head_features
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import AnyNetwork
from resnet_tl.prediction.inputs import Source
from resnet_tl.prediction.loader import Input, one_size_loader
from resnet_tl.structures.decisions import ClassSpace, Decisions, Limit

Floats: TypeAlias = npt.NDArray[np.float32]

NONE_OF_THESE = "none of these"
TOP = 5
"""Classes that are named by default."""
ROUNDING = 1e-4
"""Of outlier scores: they differ that much between batches, and the limit is the score of a validation image."""


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """The classes of one image.

    classes, scores: best first: the likeliest ones, or (multi-label) all that reach their threshold, maybe none.
    probabilities: of every class, `[K]` float32, in the order of the predictor's `classes`.

    Scores and probabilities are calibrated where the checkpoint holds a temperature.

    With `unsure`, else None:
    possible: the classes that are possible, best first: of images like those of validation, 90 % have their true class
        among these. There may be none.
    outlier_score: how unlike the training images this one is: 0 is the median of the validation images, 1 the limit
        that 95 % of them keep.
    pixels: `[h, w, C]` as the network sees the image; None unless the predictor's `keep_pixels` is set.
    image: `[H, W, C]` as decoded; None unless its `loader` keeps images.
    """

    classes: list[str]
    scores: list[float]
    probabilities: Floats
    multi_label: bool = False
    possible: list[str] | None = None
    outlier_score: float | None = None
    pixels: ImageArray | None = None
    image: ImageArray | None = None

    @property
    def none_of_these(self) -> bool:
        """Whether the image is unlike those of training, so that it probably shows none of the classes."""
        return self.outlier_score is not None and self.outlier_score > 1 + ROUNDING


class ClassPredictor(Predictor[ClassPrediction]):
    """A network that classifies images.

    Args:
        eval_transforms: the transforms of validation, as a recipe lists them; None for resizing and a centre crop.
        decisions, space: what validation decided, and what it recognises unfamiliar images by.
        reduced_decoding: decode JPEGs at a fraction of their size, where that is enough, as validation did.
    """

    task: ClassVar[TaskName] = "classification"

    def __init__(
        self,
        network: AnyNetwork,
        classes: Sequence[str],
        *,
        eval_transforms: list[dict[str, Any]] | None = None,
        decisions: Decisions = Decisions(),
        space: ClassSpace | None = None,
        reduced_decoding: bool = False,
        device: str = "cpu",
        batch_size: int = 32,
    ) -> None:
        loader = one_size_loader(network.preprocessing, len(network.mean), eval_transforms, reduce=reduced_decoding)
        super().__init__(network, classes, loader, device=device, batch_size=batch_size)
        self.decisions, self.space = decisions, space
        self.keep_pixels = False

    @torch.inference_mode()
    def observe(self, sources: Iterable[Source]) -> Iterator[tuple[int, Floats, Floats]]:
        """Yields the position of each image, its features `[C]`, which the last layer takes, and its logits `[K]`,
        without those that cannot be read."""
        for batch in self.loader.batches(sources, self.batch_size, "skip"):
            for inputs in self.groups(batch):
                features, logits = (values.cpu().numpy() for values in self._features_and_logits(self.stack(inputs)))
                yield from zip((each.index for each in inputs), features, logits, strict=True)

    def _features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = head_features(self.trained, images)
        return features, cast(LinearHead, self.trained.head).fc(features)

    def _check(self, options: Options) -> None:
        if options.unsure not in (True, False, *SCORES):
            raise RecipeError(f"unsure: {options.unsure!r}; expected True, {', '.join(map(repr, SCORES))}")
        for name, given in (("top", options.top), ("unsure", options.unsure)):
            if given and getattr(self.network.head, "thresholds", None) is not None:
                raise RecipeError(
                    f"{name} applies to networks of one class per image, but this one predicts any number of labels, "
                    "each from its own threshold on, or none; remove it"
                )
        if options.unsure and not isinstance(self.network.head, LinearHead):
            raise RecipeError(
                "unsure applies to one checkpoint of a network that ends in a LinearHead, not to folds together or an "
                "exported file; name a checkpoint"
            )
        if options.unsure and (self.decisions.outliers is None or self.space is None):
            raise WeightsError(
                "unsure: the checkpoint lacks what validation decides at the end of `fit`; expected best.ckpt of a "
                f"finished run with tracking.decisions: true and at least {LEAST} validation images"
            )
        if options.unsure and not self._limit(options.unsure).meaningful:
            raise WeightsError(
                "unsure: the checkpoint was decided on validation images whose scores are all equal, or on one image; "
                f"expected a run with at least {LEAST} different ones"
            )

    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterator[ClassPrediction]:
        if not options.unsure:
            yield from self._classes(self.network(images), inputs, options)
            return
        features, logits = self._features_and_logits(images)
        predictions = list(self._classes(logits, inputs, options))
        unlike = self._outlier_scores(features, logits, options.unsure)
        for prediction, score in zip(predictions, unlike, strict=True):
            yield replace(prediction, possible=self._possible(prediction.probabilities), outlier_score=score)

    def _classes(self, outputs: Any, inputs: Sequence[Input], options: Options) -> Iterator[ClassPrediction]:
        thresholds = getattr(self.network.head, "thresholds", None)
        limits = None if thresholds is None else thresholds.cpu().numpy()
        probabilities = self.network.head.predict(outputs)
        self.check_finite(probabilities, inputs)
        raw = probabilities.cpu().numpy()
        calibrated = self.decisions.calibrated(raw, multi_label=limits is not None)
        # The network's own probabilities decide. One temperature keeps their order, but may round them to ties; of
        # several labels each has a temperature of its own, so that the order is that of the calibrated ones.
        for each, own, row in zip(inputs, raw, calibrated, strict=True):
            order = np.argsort(-(own if limits is None else row), kind="stable")
            order = order[: options.top or TOP] if limits is None else order[own[order] >= limits[order]]
            names, scores = [self.classes[k] for k in order], row[order].tolist()
            pixels = each.pixels if self.keep_pixels else None
            yield ClassPrediction(
                each.index, each.path, names, scores, row, limits is not None, pixels=pixels, image=each.image
            )

    def _possible(self, probabilities: Floats) -> list[str]:
        order = np.argsort(-probabilities, kind="stable")
        return [self.classes[k] for k in order if probabilities[k] >= (self.decisions.possible or 0)]

    def _outlier_scores(self, features: Tensor, logits: Tensor, unsure: Unsure) -> list[float]:
        assert self.space is not None
        scores = SCORES[_score(unsure)](self.space, features.cpu().numpy(), logits.cpu().numpy())
        return self._limit(unsure).relative(scores).tolist()

    def _limit(self, unsure: Unsure) -> Limit:
        limit: Limit = getattr(self.decisions.outliers, _score(unsure))
        return limit


def _score(unsure: Unsure) -> str:
    """Returns the name of the score that an option asks for."""
    return unsure if isinstance(unsure, str) else "cosine"
