"""Images in, objects out: boxes, scores, classes, and masks if the network predicts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.models.pasting import Cutout, paste
from resnet_tl.prediction.base import Options, Prediction, Predictor
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import AnyNetwork
from resnet_tl.prediction.inputs import SEED, Source, list_images
from resnet_tl.prediction.loader import Input, Loader, OnError
from resnet_tl.prediction.tiles import Tiling, Window, merge, seen_better, windows
from resnet_tl.prediction.whole_image import WholeImage
from resnet_tl.structures.boxes import rescale
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.records import Code, Detections

Limits: TypeAlias = npt.NDArray[np.float32]
"""The lowest score of the objects of each class, `[K]`."""


@dataclass(frozen=True)
class BoxPrediction(Prediction):
    """The D objects of one image, highest score first.

    image: `[H, W, C]`, as decoded.
    boxes: `[D, 4]` float32 x1, y1, x2, y2 in its pixels.
    scores: `[D]` float32, 0...1.
    labels: `[D]` int64, class indices.
    classes: D class names.
    masks: D masks; None if the network predicts boxes alone.
    """

    image: ImageArray
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: list[str]
    masks: list[Cutout] | None

    def at_least(self, limits: Limits) -> BoxPrediction:
        """Returns the prediction without objects of lower scores."""
        return self.chosen(np.flatnonzero(self.scores >= limits[self.labels]))

    def chosen(self, kept: npt.NDArray[np.int64]) -> BoxPrediction:
        """Returns the prediction with the objects at these positions, in this order."""
        arrays = {name: getattr(self, name)[kept] for name in ("boxes", "scores", "labels")}
        masks = None if self.masks is None else [self.masks[k] for k in kept]
        return replace(self, **arrays, classes=[self.classes[k] for k in kept], masks=masks)

    def moved(self, down: int, right: int) -> BoxPrediction:
        """Returns the objects with their boxes and masks so many pixels further down and to the right."""
        masks = self.masks and [Cutout(pixels, top + down, left + right) for pixels, top, left in self.masks]
        return replace(self, boxes=self.boxes + np.array([right, down, right, down], np.float32), masks=masks)


def join(parts: Sequence[BoxPrediction], index: int, image: ImageArray) -> BoxPrediction:
    """Returns the objects of all parts as those of one image."""
    masks = [mask for part in parts for mask in part.masks or []]
    return BoxPrediction(
        index,
        parts[0].path,
        image,
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [name for part in parts for name in part.classes],
        None if parts[0].masks is None else masks,
    )


class BoxPredictor(Predictor[BoxPrediction]):
    """A network that detects objects. Images are resized as in validation, and boxes and masks back.

    Attributes: those of `Predictor`, and
        codes: the category id of each class in the training set.
        decisions: what validation decided: the score from which on objects of each class are predicted, unless
            `predict` sets another.
    """

    task: ClassVar[TaskName] = "detection"

    def __init__(
        self,
        network: AnyNetwork,
        classes: Sequence[str],
        codes: Sequence[Code] | None = None,
        *,
        decisions: Decisions = Decisions(),
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        loader = Loader(WholeImage(network.preprocessing), len(network.mean), keep_images=True)
        super().__init__(network, classes, loader, device=device, batch_size=batch_size)
        self.codes: list[Code] = [*range(1, len(classes) + 1)] if codes is None else list(codes)
        self.decisions = decisions

    def limits(self, score: float | None = None, default: float = 0.0) -> Limits:
        """Returns the lowest scores of objects, where `predict` is given `score`; `default` where it is not, and
        validation has not decided."""
        if score is None and self.decisions.box_scores is not None:
            return np.array(self.decisions.box_scores, np.float32)
        return np.full(len(self.classes), default if score is None else score, np.float32)

    def _stream(
        self, inputs: Source | Iterable[Source], every: int | None, on_error: OnError, batch_size: int, options: Options
    ) -> Iterator[BoxPrediction]:
        if options.tiling is None:
            yield from super()._stream(inputs, every, on_error, batch_size, options)
            return
        # Scores are limited at the end: of a part with a high score and the object with a low one, neither is left.
        unlimited, limits = options._replace(score=0.0), self.limits(options.score)
        for batch in self.loader.batches(list_images(inputs, every), 1, on_error):
            for each in batch:
                yield self._tiled(each, options.tiling, batch_size, unlimited).at_least(limits)

    def _tiled(self, each: Input, tiling: Tiling, batch_size: int, options: Options) -> BoxPrediction:
        """The objects of one image, from those of its tiles, of which `batch_size` go through the network together."""
        image = each.image
        assert image is not None
        size = (image.shape[0], image.shape[1])
        places, parts, better = windows(*size, tiling), list[BoxPrediction](), list[npt.NDArray[np.bool_]]()
        for first in range(0, len(places), batch_size):
            batch = places[first : first + batch_size]
            tiles = [self._tile(each, image, number, window) for number, window in enumerate(batch)]
            for window, tile in zip(batch, self.predict_batch(tiles, options), strict=True):
                parts.append(tile.moved(window.top, window.left))
                better.append(seen_better(parts[-1].boxes, window, places, size))
        joined = join(parts, each.index, image)
        numbers = np.repeat(np.arange(len(parts)), [len(part) for part in better])
        return joined.chosen(merge(joined.boxes, joined.scores, joined.labels, numbers, np.concatenate(better)))

    def _tile(self, each: Input, image: ImageArray, number: int, window: Window) -> Input:
        top, left, bottom, right = window
        tile = image[top:bottom, left:right]
        size = bottom - top, right - left
        return Input(number, each.path, self.loader.transform(tile, size, SEED)[0], tile, size)

    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterator[BoxPrediction]:
        outputs = self.network(images)
        self.check_finite(outputs, inputs)
        detections: Detections = self.network.head.predict(outputs)
        size = (images.shape[-2], images.shape[-1])
        for number, each in enumerate(inputs):
            masks = None if detections.masks is None else detections.masks[number]
            single = Detections(detections.boxes[number], detections.scores[number], detections.labels[number], masks)
            yield self._objects(each, single, size, options)

    def _objects(self, each: Input, detections: Detections, size: tuple[int, int], options: Options) -> BoxPrediction:
        """The objects of one image: its detections (boxes `[D, 4]` ...) are in pixels of the (h, w) `size`."""
        image = each.image
        assert image is not None
        original = (image.shape[0], image.shape[1])
        scores, labels = detections.scores.cpu(), detections.labels.cpu()
        limits = torch.from_numpy(self.limits(options.score))
        chosen = (labels >= 0) & (scores >= limits[labels])
        sizes = torch.tensor([size]), torch.tensor([original])
        boxes = rescale(detections.boxes.cpu()[None], *sizes)[0, chosen]
        masks = None
        if detections.masks is not None:
            pairs = zip(detections.masks[chosen.to(detections.masks.device)].cpu(), boxes, strict=True)
            aligned = bool(self.network.head.aligned)
            masks = [paste(mask, box, original, aligned=aligned) for mask, box in pairs]
        names = [self.classes[label] for label in labels[chosen].tolist()]
        arrays = boxes.numpy(), scores[chosen].numpy(), labels[chosen].numpy()
        return BoxPrediction(each.index, each.path, image, *arrays, names, masks)
