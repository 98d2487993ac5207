"""Images in, feature vectors out: what a network sees in an image, to search, cluster and compare by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.models.ensemble import Members
from resnet_tl.models.heads.pooled import PooledHead
from resnet_tl.models.network import Network, is_divisible
from resnet_tl.prediction.base import Prediction, Predictor
from resnet_tl.prediction.inputs import Listed, Source, list_images
from resnet_tl.prediction.loader import Input, Loader, OnError

Pool: TypeAlias = Callable[[Tensor], Tensor]
"""Images `[N, C, h, w]` -> features `[N, F]`."""


@dataclass(frozen=True)
class Embedding(Prediction):
    """The features of one image, `[F]` float32."""

    features: npt.NDArray[np.float32]


def embed(
    predictor: Predictor[Any],
    inputs: Source | Iterable[Source],
    *,
    level: str | Sequence[str] | None = None,
    normalise: bool = False,
    on_error: OnError = "error",
    every: int | None = None,
) -> Iterator[Embedding]:
    """Yields the features of one image after another, in the order given, each preprocessed as in validation.

    Args:
        inputs, on_error, every: as `Predictor.predict` takes them.
        level: of the trunk, `c1` ... `c5`; its map is averaged over all places. Several: their features one after
            another. None: what the last layer of a classifier takes; of other networks the deepest level.
        normalise: divide each by its length, so that a product of two is their cosine.

    Raises:
        RecipeError: there is no such level; or the predictor is of an exported file.
        WeightsError: the predictor is of folds together; features that are NaN or infinite.
        DataError: see `Predictor.predict`.
    """
    pool = _pooling(predictor.trained, level)
    images = list_images(inputs, every)
    # Whole images, which masks and boxes are drawn on, would only wait in memory.
    loader = replace(predictor.loader, keep_images=False)
    return _embed(predictor, loader, images, pool, normalise, on_error)


def head_features(network: Network, images: Tensor) -> Tensor:
    """Returns what the last layer of a head that pools takes, `[N, F]`, of images `[N, C, h, w]`."""
    head = cast(PooledHead, network.head)
    return head.features(network.maps_after(network.cuts()[-1], network.normalise(images)))


def _embed(
    predictor: Predictor[Any], loader: Loader, images: list[Listed], pool: Pool, normalise: bool, on_error: OnError
) -> Iterator[Embedding]:
    for batch in loader.batches(images, predictor.batch_size, on_error):
        found: list[Embedding] = []
        for inputs in predictor.groups(batch):
            features = _features(predictor, inputs, pool, normalise)
            found += [Embedding(each.index, each.path, row) for each, row in zip(inputs, features, strict=True)]
        yield from sorted(found, key=lambda embedding: embedding.index)


@torch.inference_mode()
def _features(
    predictor: Predictor[Any], inputs: Sequence[Input], pool: Pool, normalise: bool
) -> npt.NDArray[np.float32]:
    features = pool(predictor.stack(inputs))
    predictor.check_finite(features, inputs)
    return (F.normalize(features) if normalise else features).cpu().numpy()


def _pooling(network: Network, level: str | Sequence[str] | None) -> Pool:
    if isinstance(network.trunk, Members):
        raise WeightsError("embeddings are of one network, not of folds together; name one of them, as FOLDER/fold1")
    if level is None and isinstance(network.head, PooledHead):
        return lambda images: head_features(network, images)
    levels = [each.name for each in network.trunk.feature_info]
    chosen = levels[-1:] if level is None else [level] if isinstance(level, str) else list(level)
    if unknown := [each for each in chosen if each not in levels]:
        raise RecipeError(f"level: {unknown[0]!r} is not in this network; expected one of {', '.join(levels)}")
    return lambda images: _pooled(network, chosen, images)


def _pooled(network: Network, levels: list[str], images: Tensor) -> Tensor:
    """Returns the averaged maps of levels of the trunk, `[N, F]`; nothing deeper is computed."""
    trunk, normalised = network.trunk, network.normalise(images)
    maps = trunk(normalised, levels=levels) if is_divisible(trunk) else trunk(normalised)
    return torch.cat([maps[level].mean((2, 3)) for level in levels], 1)
