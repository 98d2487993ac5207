"""How well features tell classes apart before anything is trained: scores by which weights are chosen.

All are of the features `[N, F]` of images with one class each, `[N]`, where every class has at least two images.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import logsumexp

from resnet_tl.metrics.class_space import shrinkage
from resnet_tl.metrics.outliers import unit

Floats = NDArray[np.floating]
Classes = NDArray[np.int64]

FOLDS, NEIGHBOURS = 5, 5
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


def neighbours_agree(features: Floats, targets: Classes) -> NDArray[np.bool_]:
    """Returns whether the most frequent class among the five other images of smallest angle is the image's, `[N]`; of
    classes that are equally frequent, the one whose images are closer counts."""
    directions, classes = unit(features.astype(np.float64)), np.unique(targets, return_inverse=True)[1]
    count = min(NEIGHBOURS, len(features) - 1)
    right = np.empty(len(features), np.bool_)
    for rows in np.array_split(np.arange(len(features)), -(-(len(features) ** 2) // CHUNK)):
        cosines = directions[rows] @ directions.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        votes = np.zeros((len(rows), classes.max() + 1))
        close = 1 + np.take_along_axis(cosines, nearest, 1) / (4 * NEIGHBOURS)  # it decides between equal votes alone
        np.add.at(votes, (np.arange(len(rows))[:, None], classes[nearest]), close)
        right[rows] = votes.argmax(1) == classes[rows]
    return right


def probe_right(features: Floats, targets: Classes) -> NDArray[np.bool_]:
    """Returns whether a linear classifier that was fitted without the image is right about it, `[N]`: five stratified
    folds, features standardised by the images that it is fitted on."""
    classes = np.unique(targets, return_inverse=True)[1]
    fold = stratified_folds(classes)
    right = np.empty(len(classes), np.bool_)
    for each in np.unique(fold):
        held = fold == each
        fitted = features[~held].astype(np.float64)
        mean, spread = fitted.mean(0), fitted.std(0)
        spread[spread < TINY] = 1
        weight = fit_linear((fitted - mean) / spread, classes[~held])
        logits = ((features[held] - mean) / spread) @ weight[:-1] + weight[-1]
        right[held] = logits.argmax(1) == classes[held]
    return right


def stratified_folds(classes: Classes) -> Classes:
    """Returns the fold of each image, `[N]`, seeded: folds differ by at most one image, also within a class."""
    shuffled = np.random.default_rng(0).permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[by_class] = np.arange(len(classes)) % FOLDS
    return fold


def fit_linear(features: Floats, classes: Classes) -> NDArray[np.float64]:
    """Returns weight and bias (the last row) `[F + 1, K]` of a multinomial logistic regression: the sum of the cross
    entropies and half the squared weights is smallest, as scikit-learn's LogisticRegression has it with C = 1 (of two
    classes, for which it has one column of weights, with C = 2)."""
    width, count = features.shape[1] + 1, int(classes.max()) + 1
    objective = partial(_objective, features, np.eye(count)[classes])
    options = {"maxiter": 500, "maxcor": 20}
    found = minimize(objective, np.zeros(width * count), jac=True, method="L-BFGS-B", options=options)
    weight: NDArray[np.float64] = found.x.reshape(width, count)
    return weight


def _objective(features: Floats, indicators: Floats, flat: Floats) -> tuple[float, Floats]:
    """Returns the mean over the images of what `fit_linear` minimises, and its gradient."""
    images, weight = len(features), flat.reshape(features.shape[1] + 1, indicators.shape[1])
    logits = features @ weight[:-1] + weight[-1]
    logs = logits - logsumexp(logits, 1, keepdims=True)
    error = np.exp(logs) - indicators
    gradient = np.concatenate([features.T @ error + weight[:-1], error.sum(0, keepdims=True)])
    loss = 0.5 * (weight[:-1] ** 2).sum() - (logs * indicators).sum()
    return loss / images, gradient.ravel() / images
