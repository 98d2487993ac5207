"""Files or arrays in, boxes and masks out: `predict` of networks that find objects. No Lightning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from resnet_tl.data.images.decode import ImageArray
from resnet_tl.models.network import Network
from resnet_tl.models.pasting import Cutout, paste
from resnet_tl.prediction.classification import Source, device_called, images_of, resized
from resnet_tl.structures.boxes import rescale
from resnet_tl.structures.records import Preprocessing


@dataclass(frozen=True)
class BoxPrediction:
    """D objects on an image, the surest first.

    index: its place among the images predicted. path: of its file; None for an array. image: `[H, W, C]`.
    boxes: `[D, 4]` float32 x1, y1, x2, y2 in its pixels. scores: `[D]` 0...1. labels: `[D]` class indices.
    classes: their names. masks: D parts of the image, of a network that finds masks.
    """

    index: int
    path: str | None
    image: ImageArray
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: list[str]
    masks: list[Cutout] | None


class BoxPredictor:
    """A trained network that finds objects, one image at a time, resized as validation resized it.

    Attributes: `network`, `classes` (K names), `codes` (the category id of each, as the training set has it),
    `preprocessing`.
    """

    def __init__(
        self, network: Network, classes: Sequence[str], codes: Sequence[int] | None = None, *, device: str = "cpu"
    ) -> None:
        self.network = network.to(device_called(device)).eval()
        self.classes = list(classes)
        self.codes = list(range(1, len(classes) + 1)) if codes is None else list(codes)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.network.preprocessing

    def predict(
        self,
        inputs: Source | Iterable[Source],
        on_error: Literal["error", "skip"] = "error",
        score: float = 0.0,
    ) -> list[BoxPrediction]:
        """Predict files, folders, zips, globs or arrays `[H, W, C]`, in the order given.

        Args:
            on_error: what an image that cannot be used does: raise its DataError, or be left out with a warning.
            score: objects that are less sure are left out.
        """
        return list(self.stream(inputs, on_error, score))

    def stream(
        self,
        inputs: Source | Iterable[Source],
        on_error: Literal["error", "skip"] = "error",
        score: float = 0.0,
    ) -> Iterator[BoxPrediction]:
        """`predict`, one prediction after another."""
        for index, path, image in images_of(inputs, len(self.network.mean), on_error):
            yield self._found(index, path, image, score)

    @torch.inference_mode()
    def _found(self, index: int, path: str | None, image: ImageArray, score: float) -> BoxPrediction:
        size = (image.shape[0], image.shape[1])
        images = resized(image, self.network)
        found = self.network.head.predict(self.network(images))
        sure = (found.labels[0] >= 0) & (found.scores[0] >= score)
        boxes = rescale(found.boxes.cpu(), torch.tensor([images.shape[-2:]]), torch.tensor([size]))[0, sure.cpu()]
        masks = None
        if found.masks is not None:
            masks = [paste(mask, box, size) for mask, box in zip(found.masks[0, sure].cpu(), boxes, strict=True)]
        scores, labels = found.scores[0, sure].cpu().numpy(), found.labels[0, sure].cpu().numpy()
        names = [self.classes[label] for label in labels]
        return BoxPrediction(index, path, image, boxes.numpy(), scores, labels, names, masks)
