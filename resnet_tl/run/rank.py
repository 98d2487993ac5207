"""Which weights suit the images of a recipe, found out before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from lightning.pytorch import seed_everything
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.detection import DetectionData
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.segmentation import SegmentationData
from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.metrics.bootstrap import accuracy_interval, percentiles, resampled
from resnet_tl.metrics.transferability import h_score, leep, log_me, nce, neighbours_agree, probe_right
from resnet_tl.models.network import Network, public_keys
from resnet_tl.prediction.backbone import backbone_network
from resnet_tl.prediction.base import find_device
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.embedding import embed
from resnet_tl.run.build import Overrides, Recipe, RecipeSource, build_data, compose
from resnet_tl.run.outliers import spread_images, spread_over_classes
from resnet_tl.run.region_features import Samples, region_features
from resnet_tl.structures.records import Level
from resnet_tl.weights.file_classifier import file_classifier

IMAGES = 5000
Ranked: TypeAlias = ClassificationData | DetectionData | SegmentationData
RANDOM = "random"
"""In place of weights: what an untrained backbone achieves."""


class Candidate(NamedTuple):
    """Weights as `model.backbone.weights` names them, or `random`, of a backbone."""

    backbone: str
    weights: str

    def __str__(self) -> str:
        return f"{self.backbone}={self.weights}"


@dataclass(frozen=True)
class Rated:
    """How well the features of a candidate tell the classes apart.

    images: of each sample, the image that it is in, `[N]`.
    right: for each sample, whether the probe that was fitted without its image is right, `[N]`.
    earlier: the probe's accuracy on the features of the stage before the last; None: there is none.
    neighbours: accuracy of the nearest other images.
    leep, nce: of the weights' own classifier; None: they have none.
    """

    candidate: Candidate
    images: NDArray[np.int64] = field(repr=False)
    right: NDArray[np.bool_] = field(repr=False)
    earlier: float | None
    neighbours: float
    log_me: float
    h_score: float
    leep: float | None
    nce: float | None
    seconds: float

    @property
    def probe(self) -> float:
        """The accuracy of the probe."""
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Of the probe's accuracy, 95 %, over the choice of the images."""
        if len(np.unique(self.images)) == len(self.images):
            return accuracy_interval(int(self.right.sum()), len(self.right))
        right, samples = per_image(self.images, self.right), per_image(self.images, np.ones(len(self.right)))
        shares = resampled(len(right), lambda drawn: {"accuracy": (right @ drawn) / (samples @ drawn)})
        return percentiles(shares["accuracy"])


@dataclass(frozen=True)
class Ranking:
    """rated: the best first. notes: of the data, and which images were used."""

    rated: list[Rated]
    notes: list[str]

    @property
    def sure(self) -> float | None:
        """In which share of resamples of the images the probe of the first is better than that of the second; equal
        ones count half."""
        if len(self.rated) < 2:
            return None
        first, second = (per_image(each.images, each.right) for each in self.rated[:2])
        lead = resampled(len(first), lambda drawn: {"lead": (first - second) @ drawn})["lead"]
        return float((lead > 0).mean() + (lead == 0).mean() / 2)


def per_image(images: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the sum of each image's values."""
    numbers = np.unique(images, return_inverse=True)[1]
    return np.bincount(numbers, weights=values).astype(np.float64)


def rank(
    recipes: Sequence[RecipeSource],
    overrides: Overrides,
    weights: Sequence[str],
    *,
    images: int = IMAGES,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda candidate: None,
) -> Ranking:
    """Rates weights by their features of a recipe's training images, each preprocessed as in validation, with the mean
    and standard deviation of the weights.

    Args:
        recipes, overrides: of images with one class each, with boxes or masks; the recipe's own weights are not used.
            Samples are images, boxes, or the classes of an image, each with the mean features of its pixels.
        weights: `BACKBONE=WEIGHTS`, or `WEIGHTS` of the recipe's backbone; `random` for none.
        images: about so many at most, evenly from each class, but 20 of a class if it has them; of images with boxes or
            masks, evenly over the listing.
        progress: called with each candidate before its images are read.

    Raises:
        RecipeError: data of another task, images of several labels, or a candidate twice.
        DataError: one class, or a class with one image (of boxes and masks: one image).
        WeightsError: weights that are not found, of another backbone, or whose features cannot be compared.
    """
    recipe = compose(recipes, overrides)
    candidates = _candidates(weights, recipe["model"]["init_args"].get("backbone", {}).get("name"))
    seed_everything(recipe["seed_everything"], workers=True, verbose=False)
    data = _with_classes(build_data(recipe))
    listing = _listing(data, images)
    # All weights are loaded before the first is rated: a wrong name is found at once.
    networks = [_network(candidate, data, recipe) for candidate in candidates]
    rated = []
    for candidate, network in zip(candidates, networks, strict=True):
        progress(str(candidate))
        began = time.perf_counter()
        levels = network.trunk.feature_info[:-3:-1]  # the deepest, and the one before
        if isinstance(data, ClassificationData):
            samples = _of_images(network, data, listing, levels, device)
        else:
            samples = region_features(network, data, listing, levels, find_device(device))
        rated.append(_rate(candidate, network, samples, levels[0].channels, began))
    rated.sort(key=lambda each: (-each.probe, -each.log_me))
    return Ranking(rated, [*data.notes, _compared(data, samples)])


def _compared(data: Ranked, samples: Samples) -> str:
    count, classes = len(np.unique(samples.images)), len(np.unique(samples.targets))
    if isinstance(data, ClassificationData):
        return f"{count} training images of {classes} classes are compared"
    kind = "boxes" if isinstance(data, DetectionData) else "regions"
    return f"{len(samples.images)} {kind} of {classes} classes in {count} training images are compared"


def _candidates(weights: Sequence[str], backbone: str | None) -> list[Candidate]:
    found = list(_read(weights, backbone))
    for candidate in found:
        if found.count(candidate) > 1:
            raise RecipeError(f"--weights names {candidate} twice; expected each once")
    return found


def _read(weights: Sequence[str], backbone: str | None) -> Iterator[Candidate]:
    for text in weights:
        name, equals, own = text.partition("=")
        if not equals or "/" in name:  # an address may have a = of its own
            name, own = backbone or "", text
        if not name or not own:
            raise RecipeError(f"--weights {text}: expected BACKBONE=WEIGHTS, as resnet50=timm/resnet50.a1_in1k")
        yield Candidate(name, own)


def _with_classes(data: ImageData) -> Ranked:
    """Returns the data if its images have one class each, boxes or masks, else raises RecipeError."""
    if not isinstance(data, ClassificationData | DetectionData | SegmentationData):
        raise RecipeError(f"rank is for images with classes, boxes or masks, but data is {type(data).__name__}")
    if isinstance(data, ClassificationData) and data.multi_label:
        raise RecipeError("rank is for images of one class each, but these have any number of labels")
    return data


def _listing(data: Ranked, images: int) -> Listing:
    """Returns the training images to compare by.

    Raises:
        DataError: there are none, one class alone, or a class with one image.
    """
    if "train" not in data.listings:
        raise DataError(f"{data.root} has no training images; expected some of every class")
    if not isinstance(data, ClassificationData):
        return spread_images(data.listings["train"], images)
    counts = data.class_counts()
    if (counts > 0).sum() < 2:
        raise DataError(f"{data.root}: all training images are of one class; rank needs two classes or more")
    single = [name for name, count in zip(data.classes, counts, strict=True) if count == 1]
    if single:
        raise DataError(
            f"{data.root}: one training image of {', '.join(single[:5])}; rank needs two of every class, or none: "
            "data.exclude leaves images out"
        )
    listing = data.listings["train"]
    return listing if len(listing) <= images else spread_over_classes(listing, images)


def _network(candidate: Candidate, data: Ranked, recipe: Recipe) -> Network:
    """Returns the backbone, with the recipe's preprocessing in validation, with these weights."""
    torch.manual_seed(recipe["seed_everything"])
    weights = None if candidate.weights == RANDOM else candidate.weights
    network = backbone_network(weights, candidate.backbone, data.channels)
    network.set_preprocessing(data.evaluation_preprocessing(network.preprocessing))
    return network


def _of_images(
    network: Network, data: ClassificationData, listing: Listing, levels: list[Level], device: str
) -> Samples:
    """Returns the features of whole images, those of several levels one after another."""
    predictor = ClassPredictor(
        network,
        ["untrained"],
        eval_transforms=data.eval_transforms,
        reduced_decoding=data.reduced_decoding,
        device=device,
        batch_size=data.batch_size,
    )
    paths, names = [sample.path for sample in listing], [level.name for level in levels]
    found = list(embed(predictor, paths, level=names, on_error=data.on_error))
    images = np.array([each.index for each in found])
    return Samples(np.stack([each.features for each in found]), np.asarray(listing.targets, np.int64)[images], images)


def _rate(candidate: Candidate, network: Network, samples: Samples, channels: int, began: float) -> Rated:
    """Rates by the first `channels` features; those after them are of the stage before."""
    features, earlier = np.split(samples.features, [channels], axis=1)
    targets, images = samples.targets, samples.images
    if not np.ptp(features, axis=0).any():
        raise WeightsError(f"--weights {candidate}: the features of all images are equal, so they tell nothing apart")
    own = _own_probabilities(candidate, network, features)
    return Rated(
        candidate,
        images,
        probe_right(features, targets, images),
        float(probe_right(earlier, targets, images).mean()) if earlier.size else None,
        float(neighbours_agree(features, targets, images).mean()),
        log_me(features, targets),
        h_score(features, targets),
        None if own is None else leep(own, targets),
        None if own is None else nce(own.argmax(1), targets),
        time.perf_counter() - began,
    )


def _own_probabilities(
    candidate: Candidate, network: Network, features: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Returns the probabilities `[N, S]` by the candidate's own classifier; None: it has none that reads features."""
    if candidate.weights == RANDOM:
        return None
    channels, keys = features.shape[1], public_keys(network)
    try:
        layer = file_classifier(network, candidate.weights, channels, sha256=None, keys=keys)
    except WeightsError:
        return None
    with torch.inference_mode():
        logits: Tensor = layer.double()(torch.from_numpy(features).double())
        return logits.softmax(1).numpy()
