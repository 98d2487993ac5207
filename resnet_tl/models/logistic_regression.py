"""Logistic regression on features that are fixed, solved instead of trained: L-BFGS (Liu and Nocedal 1989, as torch has
it) in 64 bits, L2 penalty chosen by cross-validation.

It is multinomial for one class per image, and one-vs-rest, a sigmoid per label, for several. Features come in any
number of views of each image; those of one image are in the same fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTHS = tuple(10 ** (exponent / 2) for exponent in range(8, -5, -1))
"""The L2 penalties that are tried, strongest first: 10,000 to 0.01, two per decade."""
FOLDS = 5
ITERATIONS = 1000
TOLERANCE = 1e-9
"""Of the largest gradient of the mean loss at the solution; `ROUGH` where only accuracy or strengths are compared."""
ROUGH = 1e-4
CONSTANT = 1e-5
"""A feature that deviates less than this share of its mean is constant but for rounding in 32 bits."""


class Linear(NamedTuple):
    """weight `[K, C]`, bias `[K]`, both float64."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Returns logits `[N, K]` of features `[N, C]`."""
        return F.linear(features, self.weight, self.bias)


class Score(NamedTuple):
    """Of images that the classifier was not fitted on: the mean loss, and the share that is predicted right (0...1; of
    several labels, the share of labels)."""

    loss: float
    accuracy: float


class Solution(NamedTuple):
    """A classifier of features as they are, its L2 penalty, and the cross-validated score of this penalty."""

    linear: Linear
    l2: float
    score: Score


def solve(
    features: Tensor,
    targets: Tensor,
    classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = FOLDS,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Solution:
    """Returns the classifier of standardised features whose L2 penalty has the lowest cross-validated loss, fitted to
    all images; the standardisation is folded into it.

    Args:
        features: `[V, N, C]`, V views of N images.
        targets: classes `[N]` int64, or of several labels per image `[N, K]` 0 or 1.
        classes: K.
        strengths: L2 penalties, strongest first; see `fit`, in which the views of an image count as one.
        seed: of the folds.
        tolerance: of the fit to all images, see `TOLERANCE`.
    """
    views, images, _ = features.shape
    rows, mean, scale = standardised(features.flatten(0, 1))
    of_rows = targets.repeat(views, *[1] * (targets.ndim - 1))
    fold = stratified_folds(targets.cpu(), min(folds, images), seed).repeat(views).to(rows.device)
    penalties = [views * strength for strength in strengths]
    scores = cross_validated(rows, of_rows, classes, fold, penalties)
    best = min(range(len(scores)), key=lambda index: scores[index].loss)  # the strongest of equals
    linear = fit(rows, of_rows, classes, penalties[best], tolerance=tolerance)
    weight = linear.weight / scale
    return Solution(Linear(weight, linear.bias - weight @ mean), strengths[best], scores[best])


def standardised(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns features `[N, C]` in float64 with mean 0 and deviation 1, and their mean and deviation before, `[C]`. A
    constant feature becomes 0, and its deviation counts as 1."""
    rows = features.double()
    mean, deviation = rows.mean(0), rows.std(0, correction=0)
    constant = deviation <= CONSTANT * mean.abs()
    scale = deviation.masked_fill(constant, 1)
    return ((rows - mean) / scale).masked_fill_(constant, 0), mean, scale


def stratified_folds(targets: Tensor, count: int, seed: int = 0) -> Tensor:
    """Returns the fold of each image, `[N]` in 0...count - 1: they differ by one image at most, also within a class, or
    among images with the same labels."""
    kinds = targets if targets.ndim == 1 else targets.unique(dim=0, return_inverse=True)[1]
    shuffled = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed))
    by_kind = shuffled[kinds[shuffled].argsort(stable=True)]
    fold = torch.empty_like(by_kind)
    fold[by_kind] = torch.arange(len(kinds)) % count
    return fold


def cross_validated(
    features: Tensor, targets: Tensor, classes: int, fold: Tensor, strengths: Sequence[float]
) -> list[Score]:
    """Returns the score of each L2 penalty on images of the folds that were left out, up to the second in a row whose
    loss is higher: weaker ones, whose fits take longest, would only overfit more.

    Args:
        features, targets, classes: as of `fit`.
        fold: of each row, `[N]`.
        strengths: from strong to weak: a fit starts from the one before it.
    """
    scores: list[Score] = []
    linears: dict[int, Linear] = {}
    folds = fold.unique().tolist()
    for strength in strengths:
        sums = features.new_zeros(2)
        for each in folds:
            held = fold == each
            linears[each] = fit(
                features[~held], targets[~held], classes, strength, start=linears.get(each), tolerance=ROUGH
            )
            logits = linears[each](features[held])
            sums += torch.stack([total_loss(logits, targets[held]), _right(logits, targets[held])])
        scores.append(Score(*sums.div_(len(features)).tolist()))
        if len(scores) > 2 and scores[-3].loss < scores[-2].loss < scores[-1].loss:
            break
    return scores


def fit(
    features: Tensor,
    targets: Tensor,
    classes: int,
    l2: float,
    *,
    start: Linear | None = None,
    tolerance: float = TOLERANCE,
) -> Linear:
    """Returns the classifier with the smallest sum of the rows' losses and l2 / 2 times its squared weights, without
    those of the bias: scikit-learn's `LogisticRegression` with C = 1 / l2. (Of two classes, for which that has one
    column of weights, with C = 2 / l2.)

    Args:
        features: `[N, C]` float64.
        targets: classes `[N]` int64, or `[N, K]` 0 or 1.
        classes: K.
        start: where to begin; None: at 0.
        tolerance: see `TOLERANCE`.
    """
    rows, width = features.shape
    expected = targets.to(features.dtype) if targets.ndim == 2 else F.one_hot(targets, classes).to(features.dtype)
    flat = (
        features.new_zeros(classes, width + 1) if start is None else torch.cat([start.weight, start.bias[:, None]], 1)
    )
    optimizer = torch.optim.LBFGS(
        [flat],
        max_iter=ITERATIONS,
        history_size=20,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        weight, bias = flat[:, :-1], flat[:, -1]
        logits = F.linear(features, weight, bias)
        error = (logits.softmax(1) if targets.ndim == 1 else logits.sigmoid()) - expected
        flat.grad = torch.cat([error.T @ features + l2 * weight, error.sum(0)[:, None]], 1) / rows
        return (total_loss(logits, targets) + l2 / 2 * weight.square().sum()) / rows

    optimizer.step(objective)
    return Linear(flat[:, :-1].clone(), flat[:, -1].clone())


def total_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the sum of the cross-entropies of all rows, or of all their labels."""
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets, reduction="sum")
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="sum")


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns how many rows are predicted right, or the mean number over the labels."""
    if targets.ndim == 1:
        return (logits.argmax(1) == targets).sum()
    return ((logits > 0) == (targets > 0)).double().mean(1).sum()
