"""Where the features of training images lie, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from resnet_tl.metrics.outliers import unit
from resnet_tl.structures.decisions import ClassSpace

Floats = NDArray[np.floating]

DIRECTIONS = 64
"""At most, those in which the classes differ most: the others add little to a distance."""


def fit_space(features: Floats, targets: NDArray[np.int64]) -> ClassSpace:
    """Returns the space of features `[N, C]` of classes `[N]`, at least two of them.

    The coordinates are those of a linear discriminant analysis. In all other directions a feature is as far from the
    centre of a class, measured by the covariance within classes, as from that of all images, measured by theirs: these
    cancel out in the relative distance.
    """
    features = features.astype(np.float64)
    _, classes, counts = np.unique(targets, return_inverse=True, return_counts=True)
    means, mean = _means(features, classes), features.mean(0)
    within = shrunk_covariance(features - means[classes])
    between = (means - mean) * np.sqrt(counts / len(features))[:, None]  # B is its product with itself
    solved = cho_solve(cho_factor(within), between.T)
    values, vectors = np.linalg.eigh(between @ solved)
    chosen = np.argsort(-values)[: min(len(counts) - 1, DIRECTIONS)]
    values, vectors = values[chosen].clip(1e-12), vectors[:, chosen]
    directions = (solved @ vectors / np.sqrt(values)).T
    origin = directions @ mean
    arrays = (_means(unit(features), classes), directions, origin, means @ directions.T - origin, 1 + values)
    return ClassSpace(*(array.astype(np.float32) for array in arrays))


def shrunk_covariance(centred: Floats) -> NDArray[np.float64]:
    """Returns the covariance `[C, C]` of centred rows `[N, C]`, drawn towards a multiple of the identity as far as
    their number asks for (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4): it has an inverse for any N."""
    return shrinkage(centred)[0]


def shrinkage(centred: Floats) -> tuple[NDArray[np.float64], float]:
    """Returns the covariance of `shrunk_covariance`, and the share of the identity in it."""
    images, width = centred.shape
    covariance = centred.T @ centred / images
    scale = np.trace(covariance) / width + 1e-12
    identity = scale * np.eye(width)
    apart = ((covariance - identity) ** 2).sum()
    uncertain = (((centred**2).sum(1) ** 2).sum() / images - (covariance**2).sum()) / images
    share = min(max(uncertain / apart, 1e-6), 1.0) if apart > 0 else 1.0
    return (1 - share) * covariance + share * identity, share


def _means(features: Floats, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the mean `[k, C]` of each class of features `[N, C]`."""
    return np.stack([features[classes == k].mean(0) for k in range(classes.max() + 1)])
