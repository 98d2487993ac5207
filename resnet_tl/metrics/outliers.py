"""Scores of images that are unlike those of training: higher for less familiar ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_tl.structures.decisions import ClassSpace, Limit, Limits

Floats = NDArray[np.floating]

KEPT = 0.95
"""The share of validation images that are not outliers."""
LEAST = 20
"""Validation images at least: of fewer, the 5 % beyond a limit are not even one."""


def fit_limits(space: ClassSpace, features: Floats, logits: Floats) -> Limits:
    """Chooses the limits on validation images, features `[N, C]` and logits `[N, K]`."""
    return Limits(**{name: _limit(score(space, features, logits)) for name, score in SCORES.items()})


def cosine(space: ClassSpace, features: Floats, logits: Floats) -> NDArray[np.float64]:
    """Returns the cosine distance `[N]`, 0...2, of features `[N, C]` from the mean of the nearest class."""
    return 1 - (unit(features) @ unit(space.means).T).max(1)


def energy(space: ClassSpace, features: Floats, logits: Floats) -> NDArray[np.float64]:
    """Returns the free energy `[N]` of logits `[N, K]` (arXiv:2010.03759, eq. 4 at T = 1)."""
    logits = logits.astype(np.float64)
    highest = logits.max(1)
    return -(highest + np.log(np.exp(logits - highest[:, None]).sum(1)))


def relative(space: ClassSpace, features: Floats, logits: Floats) -> NDArray[np.float64]:
    """Returns the relative Mahalanobis distance `[N]` of features `[N, C]` (arXiv:2106.09022): the squared distance
    from the nearest class, less that from all training images."""
    at = features.astype(np.float64) @ space.directions.T - space.origin
    # |at - centre|², without an array of all differences
    squares = (at**2).sum(1)[:, None] - 2 * at @ space.centres.T + (space.centres**2).sum(1)
    return squares.min(1) - (at**2 / space.spread).sum(1)


Score: TypeAlias = Callable[[ClassSpace, Floats, Floats], NDArray[np.float64]]

SCORES: dict[str, Score] = {"cosine": cosine, "energy": energy, "relative": relative}


def unit(features: Floats) -> NDArray[np.float64]:
    """Returns features `[N, C]` scaled to length 1; 0 stays 0."""
    return features / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True).clip(1e-12)


def _limit(scores: Floats) -> Limit:
    """Returns the limit that another image like these `[N]` keeps with a probability of `KEPT` at least; with few
    images the highest of their scores."""
    rank = min(math.ceil((len(scores) + 1) * KEPT), len(scores))
    return Limit(float(np.median(scores)), float(np.sort(scores)[rank - 1]))
