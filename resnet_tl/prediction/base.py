"""What all predictors share: one signature, one preprocessing path, batches of images of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from resnet_tl.errors import RecipeError, RunError, WeightsError
from resnet_tl.models.finite import all_finite
from resnet_tl.models.network import Network
from resnet_tl.prediction.exported.description import TaskName
from resnet_tl.prediction.exported.network import AnyNetwork, ExportedNetwork
from resnet_tl.prediction.inputs import Source, at_least_one, list_images
from resnet_tl.prediction.loader import Input, Loader, OnError
from resnet_tl.prediction.tiles import Tiling, read_tiling
from resnet_tl.structures.records import Preprocessing


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    index: position among the images predicted, those in folders and globs counted one by one.
    path: of its file, or `film.mp4/000120` of a frame; None for an array.
    """

    index: int
    path: str | None


P = TypeVar("P", bound=Prediction)


Unsure: TypeAlias = bool | Literal["cosine", "energy", "relative"]


class Options(NamedTuple):
    """Options of single tasks. top: how many classes to name; None: the default, or of several labels all from their
    thresholds on. score: objects with lower scores are dropped; None: those below `Decisions.box_scores`. unsure:
    whether, and by which score, to recognise images unlike those of training. tiling: predict tiles of the image; None:
    all of it at once."""

    top: int | None
    score: float | None
    unsure: Unsure = False
    tiling: Tiling | None = None


TASK_OF_OPTION = {
    "top": "classification",
    "score": "detection",
    "unsure": "classification",
    "tiles": "detection",
    "overlap": "detection",
}


class Predictor(ABC, Generic[P]):
    """A trained network with the preprocessing of its validation.

    Attributes:
        task: `classification`, `segmentation`, `detection` or `regression`.
        network, classes (K names), preprocessing.
        batch_size: images predicted at a time, unless `predict` sets another.
        loader: what decodes images and preprocesses them as in validation.
    """

    task: ClassVar[TaskName]

    def __init__(
        self, network: AnyNetwork, classes: Sequence[str], loader: Loader, *, device: str = "cpu", batch_size: int
    ) -> None:
        self.network = network.to(find_device(device)).eval()
        self.classes = list(classes)
        self.batch_size = at_least_one("batch_size", batch_size)
        self.loader = replace(loader, most_bits=8) if isinstance(network, ExportedNetwork) else loader

    @property
    def trained(self) -> Network:
        """The network with its stages. Raises RecipeError: that of an exported file does not have them."""
        if not isinstance(self.network, Network):
            raise RecipeError("this needs the stages of the network, which an exported file hides; use its checkpoint")
        return self.network

    @property
    def preprocessing(self) -> Preprocessing:
        return self.network.preprocessing

    def predict(
        self,
        inputs: Source | Iterable[Source],
        *,
        on_error: OnError = "error",
        batch_size: int | None = None,
        every: int | None = None,
        top: int | None = None,
        score: float | None = None,
        unsure: Unsure | None = None,
        tiles: int | None = None,
        overlap: int | None = None,
    ) -> list[P]:
        """Predicts images in the order given.

        Args:
            inputs: one or many: files, folders, zips, globs, videos, addresses, bytes of a file, or an open one;
                arrays, tensors and Pillow images as `resnet_tl.prediction.memory.as_array` takes them; four dimensions
                are N images.
            on_error: what an image that cannot be used does: raise, or be skipped with a warning that names it.
            batch_size: images at a time, in place of the predictor's own. Images of one size go through the network
                together; their predictions are the same up to rounding.
            every: take every N-th frame of a video, and every N-th image of a folder, zip or glob, from the first on.
            top: classification: how many classes to name (5); not for several labels, all of which are named that reach
                their threshold.
            score: detection: drop objects with lower scores; 0 keeps all. None: each class has its own, from which on
                its F1 on the validation images was best.
            unsure: classification: also give the classes that are possible, and recognise images that show none of
                them; True or `cosine` by their features' angle to those of the nearest class, `relative` by their
                distance from it, `energy` by their logits. See `ClassPrediction`.
            tiles: detection: predict square tiles of so many pixels of the image, each resized as in validation, and
                merge their objects; for large images of small objects.
            overlap: of neighbouring tiles in pixels, at least as wide as the objects; None: a fifth of `tiles`.

        Raises:
            DataError: nothing exists at a path, a damaged image, an image in memory of a wrong shape, type or
                range.
            RecipeError: an option out of range, or of another task.
        """
        options: dict[str, Any] = {"batch_size": batch_size, "every": every, "top": top, "score": score}
        options |= {"unsure": unsure, "tiles": tiles, "overlap": overlap}
        return list(self.stream(inputs, on_error=on_error, **options))

    def stream(
        self,
        inputs: Source | Iterable[Source],
        *,
        on_error: OnError = "error",
        batch_size: int | None = None,
        every: int | None = None,
        top: int | None = None,
        score: float | None = None,
        unsure: Unsure | None = None,
        tiles: int | None = None,
        overlap: int | None = None,
    ) -> Iterator[P]:
        """Like `predict`, but yields one prediction after another, for more images than fit into memory."""
        if on_error not in ("error", "skip"):
            raise RecipeError(f"on_error: {on_error!r}; expected 'error' or 'skip'")
        options = self.options(top=top, score=score, unsure=unsure, tiles=tiles, overlap=overlap)
        size = self.batch_size if batch_size is None else at_least_one("batch_size", batch_size)
        step = None if every is None else at_least_one("every", every)
        return self._stream(inputs, step, on_error, size, options)

    def options(
        self,
        *,
        top: int | None = None,
        score: float | None = None,
        unsure: Unsure | None = None,
        tiles: int | None = None,
        overlap: int | None = None,
    ) -> Options:
        """Returns options of `predict` as `predict_batch` takes them.

        Raises:
            RecipeError: one is out of range, or of another task.
            WeightsError: the checkpoint lacks what one needs.
        """
        given = {"top": top, "score": score, "unsure": unsure or None, "tiles": tiles, "overlap": overlap}
        for option, value in given.items():
            if value is not None and TASK_OF_OPTION[option] != self.task:
                raise wrong_task(option, TASK_OF_OPTION[option], self.task)
        if score is not None and not (isinstance(score, (int, float)) and 0 <= score <= 1):
            raise RecipeError(f"score: {score!r}; expected 0 to 1")
        named = None if top is None else at_least_one("top", top)
        options = Options(named, score, unsure or False, read_tiling(tiles, overlap))
        self._check(options)
        return options

    def _stream(
        self, inputs: Source | Iterable[Source], every: int | None, on_error: OnError, batch_size: int, options: Options
    ) -> Iterator[P]:
        for batch in self.loader.batches(list_images(inputs, every), batch_size, on_error):
            yield from self.predict_batch(batch, options)

    def _check(self, options: Options) -> None:
        """Raises UserError for options that this network lacks something for."""

    @torch.inference_mode()
    def predict_batch(self, batch: Sequence[Input], options: Options) -> list[P]:
        """Returns the predictions of a batch, in order."""
        predictions: list[P] = []
        for inputs in self.groups(batch):
            predictions.extend(self._predict_images(self.stack(inputs), inputs, options))
        return sorted(predictions, key=lambda prediction: prediction.index)

    def groups(self, batch: Sequence[Input]) -> Iterable[list[Input]]:
        """Returns the images of a batch that go through the network together: those of one size.

        Images are never padded to a common size, nor 8 bits spread to 16: no prediction depends on the others.
        """
        groups: dict[tuple[tuple[int, ...], np.dtype], list[Input]] = {}
        for each in batch:
            groups.setdefault((each.pixels.shape, each.pixels.dtype), []).append(each)
        return groups.values()

    def stack(self, inputs: Sequence[Input]) -> Tensor:
        """Returns images of one size as the network takes them, `[N, C, h, w]`, on its device."""
        # Memory in the order N, h, w, C is what torch sees as channels-last.
        images = torch.from_numpy(np.stack([each.pixels for each in inputs])).permute(0, 3, 1, 2)
        return images.to(self.network.mean.device)

    def check_finite(self, outputs: object, inputs: Sequence[Input]) -> None:
        """Raises WeightsError if the network's outputs for these images hold NaN or infinite values."""
        if not all_finite(outputs):
            names = ", ".join(f"image {each.index}" if each.path is None else each.path for each in inputs[:3])
            raise WeightsError(f"the network's outputs for {names} are NaN or infinite: its training diverged")

    @abstractmethod
    def _predict_images(self, images: Tensor, inputs: Sequence[Input], options: Options) -> Iterable[P]:
        """Returns the predictions for images `[N, C, h, w]`, uint8 or uint16, of N inputs."""


def find_device(name: str) -> torch.device:
    """Raises RunError if there is no such device."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        available = [
            *(["cuda"] if torch.cuda.is_available() else []),
            *(["mps"] if torch.backends.mps.is_available() else []),
        ]
        raise RunError(f"no device {name!r} here; there is {' and '.join(['cpu', *available])}") from None
    return device


def wrong_task(option: str, task: str, actual: str) -> RecipeError:
    """The error about an option of another task."""
    own = ", whose tiles are `model.inference.tile`" if actual == "segmentation" and "tiles" in option else ""
    return RecipeError(f"{option} applies to {task}, but this network does {actual}{own}; remove it")
