"""How well features tell classes apart before anything is trained: scores by which weights are chosen.

All are of images with one class each, `[N]`, where every class has at least two images: most are of their features
`[N, F]`, `leep` and `nce` of what the weights' own classifier predicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from resnet_tl.metrics.class_space import shrinkage
from resnet_tl.metrics.outliers import unit
from resnet_tl.models.logistic_regression import ROUGH, solve, stratified_folds

Floats = NDArray[np.floating]
Classes = NDArray[np.int64]

FOLDS, INNER_FOLDS, NEIGHBOURS = 5, 3, 5
STRENGTHS = (1e4, 1e3, 1e2, 10.0, 1.0)
"""L2 penalties of the probe."""
STEPS = 100
"""Of the fixed point of LogME at most; about ten are usual."""
TINY = 1e-12
CHUNK = 2**24
"""Cosines held at once (128 MiB)."""


def log_me(features: Floats, targets: Classes) -> float:
    """Returns the logarithm of the maximum evidence of a Bayesian linear model from the features to each class in turn
    (0 or 1), per image, averaged over the classes (arXiv:2102.11005; its fixed point is that of arXiv:2110.10545)."""
    basis, singular, _ = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    indicators = (targets[:, None] == np.unique(targets)).astype(np.float64)
    projected = (basis.T @ indicators) ** 2
    outside = (indicators**2).sum(0) - projected.sum(0)
    scores = [
        _evidence(singular**2, inside, max(rest, 0.0), len(targets))
        for inside, rest in zip(projected.T, outside, strict=True)
    ]
    return float(np.mean(scores))


def _evidence(squares: Floats, inside: Floats, outside: float, images: int) -> float:
    """Returns the maximum log evidence per image of one target.

    Args:
        squares: the singular values of the features, squared, `[k]`.
        inside, outside: the target's squared length along each left singular vector, `[k]`, and beyond all of them.
    """
    ratio, previous, step = 1.0, np.inf, 0
    while abs(ratio - previous) > 1e-6 * ratio and step < STEPS:
        previous, step = ratio, step + 1
        effective = (squares / (squares + ratio)).sum()
        length = (squares * inside / (ratio + squares) ** 2).sum()
        residual = (inside * (ratio / (ratio + squares)) ** 2).sum() + outside
        alpha, beta = effective / (length + TINY), (images - effective) / (residual + TINY)
        ratio = alpha / beta
    fit = beta * residual + alpha * length
    spread = np.log1p(squares / ratio).sum()  # along directions without features, the determinant is that of the prior
    return float(0.5 * (images * np.log(beta / (2 * np.pi)) - spread - fit) / images)


def h_score(features: Floats, targets: Classes) -> float:
    """Returns the trace of the covariance of class means over that of the features (H-score), the latter shrunk so that
    few images do not flatter wide features (arXiv:2110.06893). From 0 to the number of classes less one."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    _, classes, counts = np.unique(targets, return_inverse=True, return_counts=True)
    means = np.stack([centred[classes == k].mean(0) for k in range(len(counts))])
    weighted = means * np.sqrt(counts / len(features))[:, None]
    covariance, share = shrinkage(centred)
    return float((1 - share) * (weighted * cho_solve(cho_factor(covariance), weighted.T).T).sum())


def neighbours_agree(features: Floats, targets: Classes, images: Classes | None = None) -> NDArray[np.bool_]:
    """Returns whether the most frequent class among the five other images of smallest angle is the image's, `[N]`; of
    classes that are equally frequent, the one whose images are closer counts.

    images: the image of each sample, where images have several; those of the same one are no neighbours.
    """
    directions, classes = unit(features.astype(np.float64)), np.unique(targets, return_inverse=True)[1]
    images = np.arange(len(features)) if images is None else images
    count = min(NEIGHBOURS, len(features) - int(np.unique(images, return_counts=True)[1].max()))
    right = np.empty(len(features), np.bool_)
    for rows in np.array_split(np.arange(len(features)), -(-(len(features) ** 2) // CHUNK)):
        cosines = directions[rows] @ directions.T
        cosines[images[rows, None] == images] = -np.inf
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        votes = np.zeros((len(rows), classes.max() + 1))
        close = 1 + np.take_along_axis(cosines, nearest, 1) / (4 * NEIGHBOURS)  # it decides between equal votes alone
        np.add.at(votes, (np.arange(len(rows))[:, None], classes[nearest]), close)
        right[rows] = votes.argmax(1) == classes[rows]
    return right


def probe_right(features: Floats, targets: Classes, images: Classes | None = None) -> NDArray[np.bool_]:
    """Returns whether a linear classifier that was fitted without the image is right about it, `[N]`: five stratified
    folds. The images that it is fitted on also decide its L2 penalty, by folds of their own.

    images: the image of each sample, where images have several; those of one image are in the same fold.
    """
    rows, right = torch.from_numpy(features), torch.empty(len(features), dtype=torch.bool)
    images = np.arange(len(features)) if images is None else images
    classes, numbers = (torch.from_numpy(np.unique(each, return_inverse=True)[1]) for each in (targets, images))
    shown = torch.zeros(int(numbers.max()) + 1, int(classes.max()) + 1, dtype=torch.int64)
    shown[numbers, classes] = 1
    fold = stratified_folds(shown, FOLDS)[numbers]
    options: dict[str, Any] = {"strengths": STRENGTHS, "folds": INNER_FOLDS, "tolerance": ROUGH}
    for each in fold.unique():
        held = fold == each
        linear = solve(rows[None, ~held], classes[~held], int(classes.max()) + 1, **options).linear
        right[held] = linear(rows[held].double()).argmax(1) == classes[held]
    return right.numpy()


def leep(probabilities: Floats, targets: Classes) -> float:
    """Returns the log expected empirical prediction (arXiv:2002.12462): the mean log likelihood of the images' classes,
    each predicted from the probabilities of another classifier's classes by how those go with these. 0 at most.

    Args:
        probabilities: `[N, S]` of the classes that the weights were trained for.
    """
    indicators = (targets[:, None] == np.unique(targets)).astype(np.float64)
    joint = indicators.T @ probabilities
    given = joint / np.maximum(joint.sum(0), np.finfo(np.float64).tiny)  # of each class, for each of the classifier's
    return float(np.log(((probabilities @ given.T) * indicators).sum(1)).mean())


def nce(predicted: Classes, targets: Classes) -> float:
    """Returns the negative conditional entropy of the images' classes given those that another classifier predicts,
    `[N]` (arXiv:1908.08142; of predictions in the place of labels as in arXiv:2002.12462). 0 at most."""
    return leep(np.eye(predicted.max() + 1)[predicted], targets)
