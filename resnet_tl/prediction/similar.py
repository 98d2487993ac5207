"""The images that are most similar to one, by the cosine of their features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image

from resnet_tl.prediction.contact_sheet import Tile, sheet
from resnet_tl.prediction.embedding import Embedding
from resnet_tl.prediction.thumbnails import read_small
from resnet_tl.prediction.writers.output import image_name

ACROSS = 7
"""Images in a row of a sheet."""


class Match(NamedTuple):
    """score: cosine, -1 to 1: 1 for the same direction."""

    path: str
    score: float


def similar(query: Embedding, embeddings: Sequence[Embedding], top: int = 20) -> list[Match]:
    """Returns the `top` most similar images, the best first, without the query's own file. All are compared.

    Args:
        query, embeddings: of one network and level.
    """
    own = _place(query)
    others = [each for each in embeddings if own is None or _place(each) != own]
    if not others:
        return []
    features = np.stack([each.features for each in others])
    lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(query.features)
    scores = np.clip(features @ query.features / np.maximum(lengths, np.finfo(np.float32).tiny), -1, 1)
    order = np.argsort(-scores, kind="stable")[:top]
    return [Match(image_name(others[position]), float(scores[position])) for position in order]


def similar_sheet(query: str, matches: Sequence[Match], channels: int = 3) -> Image.Image:
    """Draws the image of a query and those similar to it, each with its score.

    Raises:
        DataError: an image cannot be read.
    """
    captions = [("query", query), *((f"{score:.3f}", path) for path, score in matches)]
    tiles = [Tile(Image.fromarray(read_small(path, channels)), f"{text} · {_short(path)}") for text, path in captions]
    return sheet(tiles, min(ACROSS, len(tiles)))


def _place(embedding: Embedding) -> str | None:
    return None if embedding.path is None else os.path.abspath(embedding.path)


def _short(path: str) -> str:
    """The name of a file and its folder, which often is its class."""
    return "/".join(PurePath(path).parts[-2:])
