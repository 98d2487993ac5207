"""Files or arrays in, predictions out: the one preprocessing path, of `predict` and of all that comes after a run."""

from __future__ import annotations

import csv
import json
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resnet_tl.checkpoint import Bundle, read
from resnet_tl.data.images.dataset import Item, decode_for
from resnet_tl.data.images.decode import ImageArray, decode
from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.resize import resize, resized_size
from resnet_tl.data.images.transforms import Transform, evaluation_transform
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.sources.files import find_images
from resnet_tl.errors import DataError, RunError, WeightsError
from resnet_tl.models.network import Network, build
from resnet_tl.recipe.build import foreign_code, instantiate_model
from resnet_tl.structures.records import Features, Preprocessing

Source: TypeAlias = "str | Path | ImageArray"
"""A file, folder, zip or glob, or an image: `[H, W, C]` uint8 or uint16, RGB."""

SEED = (0,)
"""Of a listed transform that draws at random: every prediction repeats."""


class Prediction(Protocol):
    """What every prediction says of its image; see `ClassPrediction`."""

    @property
    def index(self) -> int: ...

    @property
    def path(self) -> str | None: ...


@dataclass(frozen=True)
class ClassPrediction:
    """What a network says of one image.

    index: its place among the images predicted, folders and globs counted out.
    path: of its file; None for an array.
    classes, scores: best first: the likeliest ones, or (multi-label) all that reach their threshold, maybe none.
    probabilities: of every class, `[K]` float32, in the order of `Predictor.classes`.
    """

    index: int
    path: str | None
    classes: list[str]
    scores: list[float]
    probabilities: npt.NDArray[np.float32]
    multi_label: bool = False


class Predictor:
    """A trained network with the preprocessing that its validation used.

    Attributes: `network`, `classes` (K names), `preprocessing`.
    """

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        *,
        eval_transforms: list[dict[str, Any]] | None = None,
        reduced_decoding: bool = False,
        device: str = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.network = network.to(device_called(device)).eval()
        self.classes = list(classes)
        self.batch_size = batch_size
        self.reduced_decoding = reduced_decoding
        self._transform = _transform(network.preprocessing, eval_transforms)
        self._threads = None if eval_transforms is None else 1  # albumentations keeps state in its transforms

    @classmethod
    def from_path(
        cls, path: str | Path, *, device: str = "cpu", trust_code: bool = False, batch_size: int = 32
    ) -> Predictor:
        """A predictor from a run folder (its best checkpoint) or a checkpoint.

        trust_code: import classes outside `resnet_tl` that the checkpoint names.

        Raises:
            WeightsError: see `resnet_tl.checkpoint.read`; or the checkpoint needs code that is not trusted.
            RunError: no such device.
        """
        ours = read(path)
        return cls.from_bundle(ours, network_of(ours, trust_code), device=device, batch_size=batch_size)

    @classmethod
    def from_bundle(cls, ours: Bundle, network: Network, *, device: str = "cpu", batch_size: int = 32) -> Predictor:
        """A predictor from what a checkpoint says, and its network."""
        return cls(
            network,
            ours.classes,
            eval_transforms=ours.eval_transforms,
            reduced_decoding=ours.recipe.get("data", {}).get("init_args", {}).get("reduced_decoding", False),
            device=device,
            batch_size=batch_size,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        return self.network.preprocessing

    def predict(
        self, inputs: Source | Iterable[Source], top: int = 5, on_error: Literal["error", "skip"] = "error"
    ) -> list[ClassPrediction]:
        """Predict images in the order given.

        Args:
            inputs: one or many: files, folders, zips, globs, arrays `[H, W, C]`; an array `[N, H, W, C]` is N images.
            top: how many classes to name; multi-label names those that reach their threshold.
            on_error: what an image that cannot be used does: raise, or be left out with a warning that names it.

        Raises:
            DataError: a path with nothing there, a damaged image, an array of a wrong shape or type.
        """
        return list(self.stream(inputs, top, on_error))

    def stream(
        self, inputs: Source | Iterable[Source], top: int = 5, on_error: Literal["error", "skip"] = "error"
    ) -> Iterator[ClassPrediction]:
        """`predict`, one prediction after another, for more images than fit into memory."""
        for loaded in self._load(sources_of(inputs)):
            usable = []
            for index, source, item in loaded:
                if not isinstance(item, DataError):
                    usable.append((index, source, item))
                elif on_error == "error":
                    raise item
                else:
                    warnings.warn(f"left out: {item}", stacklevel=2)
            if usable:
                rows = self.probabilities(collate([item for *_, item in usable]).images).cpu().numpy()
                for (index, source, _), row in zip(usable, rows, strict=True):
                    yield self._named(index, source, row, top)

    @torch.inference_mode()
    def probabilities(self, images: Tensor | Features) -> Tensor:
        """`[N, K]` of preprocessed images `[N, C, H, W]`, uint8 or uint16; or of a network's features of them."""
        return self.network.head.predict(self.network(images.to(self.network.mean.device)))

    def _load(self, sources: list[Source]) -> Iterator[list[tuple[int, Source, Item | DataError]]]:
        """Batches of preprocessed images; the next one is decoded while this one is predicted."""
        numbered = iter(enumerate(sources))
        ahead: deque[Iterator[tuple[int, Source, Item | DataError]]] = deque()
        with ThreadPoolExecutor(self._threads) as pool:
            while batch := list(islice(numbered, self.batch_size)):
                ahead.append(pool.map(self._item, batch))
                if len(ahead) == 2:
                    yield list(ahead.popleft())
            while ahead:
                yield list(ahead.popleft())

    def _item(self, numbered: tuple[int, Source]) -> tuple[int, Source, Item | DataError]:
        index, source = numbered
        channels = len(self.network.mean)
        try:
            if isinstance(source, np.ndarray):
                image = checked_array(source, index, channels)
                original = image.shape[:2]
            else:
                image, original = decode_for(self._transform, str(source), channels, SEED, self.reduced_decoding)
            return index, source, Item(self._transform(image, original, SEED), 0, original, index)
        except DataError as error:
            return index, source, error

    def _named(self, index: int, source: Source, row: npt.NDArray[np.float32], top: int) -> ClassPrediction:
        path = None if isinstance(source, np.ndarray) else str(source)
        thresholds = getattr(self.network.head, "thresholds", None)
        order = np.argsort(-row, kind="stable")
        if thresholds is None:
            order = order[:top]
        else:
            order = order[row[order] >= thresholds.cpu().numpy()[order]]
        names, scores = [self.classes[k] for k in order], row[order].tolist()
        return ClassPrediction(index, path, names, scores, row, multi_label=thresholds is not None)


def write_csv(predictions: Iterable[ClassPrediction], path: str | Path) -> int:
    """One line an image: `path,label,score,label_2,score_2,...`; multi-label `path,label,score` with `a|b`.

    The file is made before the first prediction is asked for; it never takes the place of another, and goes again when
    predicting fails. Gives the number of lines.

    Raises:
        RunError: the file exists, or cannot be written.
    """
    count = 0
    with new_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        for count, prediction in enumerate(predictions, start=1):
            cells = _cells(prediction)
            if count == 1:
                numbered = ((f"label_{n}", f"score_{n}") for n in range(2, len(cells) // 2 + 1))
                writer.writerow(["path", "label", "score", *(name for pair in numbered for name in pair)])
            writer.writerow([name_of(prediction), *cells])
    return count


def write_json(predictions: Iterable[ClassPrediction], path: str | Path) -> int:
    """`[{"path": ..., "labels": [...], "scores": [...]}, ...]`; otherwise as `write_csv`."""
    with new_file(path) as file:
        entries = [{"path": name_of(p), "labels": p.classes, "scores": p.scores} for p in predictions]
        json.dump(entries, file, indent=1, ensure_ascii=False)
    return len(entries)


def sources_of(inputs: Source | Iterable[Source]) -> list[Source]:
    """The images meant, one each: files by path, arrays `[H, W, C]`."""
    if isinstance(inputs, (str, Path)) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4):
        inputs = [inputs]
    found: list[Source] = []
    for source in inputs:
        found.extend([source] if isinstance(source, np.ndarray) else find_images([source]))
    return found


def images_of(
    inputs: Source | Iterable[Source], channels: int, on_error: Literal["error", "skip"]
) -> Iterator[tuple[int, str | None, ImageArray]]:
    """Each image meant, whole and at its own size: its place, its path (None: an array), `[H, W, C]`.

    on_error: what one that cannot be used does: raise its DataError, or be left out with a warning.
    """
    for index, source in enumerate(sources_of(inputs)):
        try:
            if isinstance(source, np.ndarray):
                yield index, None, checked_array(source, index, channels)
            else:
                yield index, str(source), decode(str(source), channels)
        except DataError as error:
            if on_error == "error":
                raise
            warnings.warn(f"left out: {error}", stacklevel=2)


def resized(image: ImageArray, network: Network) -> Tensor:
    """A whole image `[H, W, C]` as `[1, C, h, w]` on the network's device, of the size at which validation saw it."""
    wanted = network.preprocessing
    height, width = resized_size(image.shape[0], image.shape[1], wanted.size, wanted.max_size)
    shown = resize(image, height, width, wanted.interpolation)  # type: ignore[arg-type]
    return torch.from_numpy(np.ascontiguousarray(shown)).permute(2, 0, 1)[None].to(network.mean.device)


def checked_array(array: ImageArray, index: int, channels: int) -> ImageArray:
    """An image in memory as `[H, W, C]`; raises DataError where its shape or type is another."""
    if array.ndim == 2 and channels == 1:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] != channels or 0 in array.shape:
        raise DataError(f"array {index} has the shape {array.shape}, expected (height, width, {channels})")
    if array.dtype not in (np.uint8, np.uint16):
        raise DataError(f"array {index} is {array.dtype}, expected uint8 (0 to 255) or uint16 (0 to 65535)")
    return array


def _transform(preprocessing: Preprocessing, eval_transforms: list[dict[str, Any]] | None) -> Transform:
    if eval_transforms is not None:
        return ListedTransforms(eval_transforms)
    return evaluation_transform(preprocessing.size, preprocessing.crop, preprocessing.interpolation)  # type: ignore[arg-type]


def device_called(name: str) -> torch.device:
    """Raises RunError where there is no such device."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        have = [
            *(["cuda"] if torch.cuda.is_available() else []),
            *(["mps"] if torch.backends.mps.is_available() else []),
        ]
        raise RunError(f"no device {name!r} here; there is {' and '.join(['cpu', *have])}") from None
    return device


def network_of(ours: Bundle, trust_code: bool) -> Network:
    """The network of a checkpoint, with its weights.

    Raises:
        WeightsError: it needs code outside `resnet_tl` that is not trusted.
    """
    init_args = ours.recipe["model"]["init_args"]
    foreign = None if trust_code else foreign_code([init_args, ours.eval_transforms])
    if foreign is not None:
        raise WeightsError(
            f"{ours.path}: needs {foreign!r}, which is not part of resnet_tl: add --trust-code "
            "(in Python trust_code=True) if you trust that code"
        )
    network = build(**instantiate_model(init_args, trust_code=trust_code), classes=ours.classes)
    network.load_state_dict(ours.state_dict)
    network.preprocessing = ours.preprocessing
    return network


@contextmanager
def new_file(path: str | Path) -> Iterator[IO[str]]:
    try:
        file = open(path, "x", encoding="utf-8", newline="")  # noqa: SIM115
    except FileExistsError:
        raise RunError(f"{path} exists and is not overwritten; name another file or remove it") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
    except BaseException:
        Path(path).unlink()
        raise


def name_of(prediction: Prediction) -> str:
    """The image in tables: its path, or the place of an array."""
    return str(prediction.index) if prediction.path is None else prediction.path


def free_name(prediction: Prediction, taken: set[str]) -> str:
    """What files about an image are called, without an ending; numbered where `taken`, to which it is added."""
    stem = f"{prediction.index:06d}" if prediction.path is None else Path(prediction.path).stem
    name = stem if stem not in taken else f"{stem}_{prediction.index}"
    taken.add(name)
    return name


def _cells(prediction: ClassPrediction) -> list[str]:
    scores = [f"{score:.6f}" for score in prediction.scores]
    if prediction.multi_label:
        return ["|".join(prediction.classes), "|".join(scores)]
    return [cell for pair in zip(prediction.classes, scores, strict=True) for cell in pair]
