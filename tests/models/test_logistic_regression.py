"""A solved classifier is scikit-learn's, whatever the scale of its features; its score is of images it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_tl.models.logistic_regression import (
    ROUGH,
    STRENGTHS,
    cross_validated,
    fit,
    solve,
    standardised,
    stratified_folds,
    total_loss,
)


def blobs(classes: int, images: int = 120, width: int = 12) -> tuple[Tensor, Tensor]:
    """Correlated, standardised features around a centre of each class."""
    draw = torch.Generator().manual_seed(0)
    targets = torch.arange(images) % classes
    noise, mixed, centres = (
        torch.randn(rows, width, generator=draw, dtype=torch.float64) for rows in (images, width, classes)
    )
    return standardised(noise @ mixed / width**0.5 + 0.7 * centres[targets])[0], targets


def labels_of(features: Tensor, count: int = 3) -> Tensor:
    noise = torch.randn(len(features), count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (features[:, :count] + noise > 0.3).float()


@pytest.mark.parametrize("l2", [1000.0, 10.0, 0.1])
@pytest.mark.parametrize("classes", [2, 5])
def test_one_class_per_image_is_scikit_learns_regression(classes: int, l2: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, targets = blobs(classes)
    c = (2 if classes == 2 else 1) / l2  # of two classes it has one column, the difference of ours
    theirs = linear_model.LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    theirs.fit(features.numpy(), targets.numpy())
    weight, bias = fit(features, targets, classes, l2)
    if classes == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    np.testing.assert_allclose(weight, theirs.coef_, rtol=0, atol=1e-6 * abs(theirs.coef_).max())
    np.testing.assert_allclose(bias - bias.mean() * (classes > 2), theirs.intercept_, rtol=0, atol=1e-5)


def test_several_labels_per_image_are_a_regression_each() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, _ = blobs(3)
    targets = labels_of(features)
    weight, bias = fit(features, targets, 3, 2.0)
    for label in range(3):
        theirs = linear_model.LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-10)
        theirs.fit(features.numpy(), targets[:, label].numpy())
        np.testing.assert_allclose(weight[label], theirs.coef_[0], atol=1e-6)
        np.testing.assert_allclose(bias[label], theirs.intercept_[0], atol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_nothing_nearby_is_better(several: bool) -> None:
    features, targets = blobs(4)
    targets = labels_of(features, 4) if several else targets
    found = fit(features, targets, 4, 3.0)
    parameters = [parameter.requires_grad_() for parameter in found]
    (total_loss(found(features), targets) + 1.5 * found.weight.square().sum()).backward()
    assert max(float(parameter.grad.abs().max()) for parameter in parameters) < 1e-6  # type: ignore[union-attr]


@pytest.mark.parametrize("several", [False, True])
def test_scores_are_of_images_that_were_left_out(several: bool) -> None:
    features, classes = blobs(3)
    targets = labels_of(features) if several else classes
    fold = stratified_folds(targets, 4)
    losses, right = [], []
    for each in range(4):
        held = fold == each
        linear = fit(features[~held], targets[~held], 3, 5.0, tolerance=ROUGH)
        logits = linear(features[held])
        losses.append(total_loss(logits, targets[held]) / len(features))
        right.append(
            ((logits > 0) == (targets[held] > 0)).double().mean(1) if several else logits.argmax(1) == targets[held]
        )
    (score,) = cross_validated(features, targets, 3, fold, [5.0])
    assert score.loss == pytest.approx(float(sum(losses)), rel=1e-6)
    assert score.accuracy == pytest.approx(float(torch.cat(right).double().mean()))


def test_of_the_penalties_the_one_with_the_lowest_loss_is_taken_and_images_are_fitted_with_it() -> None:
    features, targets = blobs(3)
    targets = targets.where(torch.arange(len(targets)) % 5 > 0, 0)  # some labels are wrong: not the weakest penalty
    found = solve(features[None], targets, 3, seed=5)
    scores = cross_validated(features, targets, 3, stratified_folds(targets, 5, 5), STRENGTHS)
    assert found.score.loss == pytest.approx(min(scores).loss, rel=1e-6)
    assert found.l2 == STRENGTHS[scores.index(min(scores))]
    assert STRENGTHS[0] > found.l2 > STRENGTHS[-1]
    apart = [cross_validated(features, targets, 3, stratified_folds(targets, 5, 5), [each])[0] for each in STRENGTHS]
    assert scores.index(min(scores)) + 3 == len(scores) < len(apart), "weaker ones than two worse ones are not tried"
    assert apart.index(min(apart)) == scores.index(min(scores))
    torch.testing.assert_close(found.linear.weight, fit(features, targets, 3, found.l2).weight)
    again = solve(features[None], targets, 3, seed=5)
    assert torch.equal(again.linear.weight, found.linear.weight)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_the_scale_of_features_changes_nothing(seed: int) -> None:
    features, targets = blobs(3, images=40, width=6)
    scale, shift = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    others = (features + 5 * shift) * (5 * scale).exp()
    one, other = (solve(each[None], targets, 3, strengths=[1.0]) for each in (features, others))
    torch.testing.assert_close(other.linear(others), one.linear(features), rtol=0, atol=1e-5)


def test_a_constant_feature_has_no_weight() -> None:
    features, targets = blobs(3)
    features[:, 4] = 1234.5
    found = solve(features[None].float(), targets, 3)
    assert not found.linear.weight[:, 4].any()
    assert found.linear.weight[:, 3].all()


def test_views_of_an_image_are_in_one_fold_and_count_as_one_image() -> None:
    draw = torch.Generator().manual_seed(0)
    images, targets = torch.randn(60, 40, generator=draw), torch.arange(60) % 2
    views = torch.stack([images, images])
    found = solve(views, targets, 2, strengths=[1.0])
    assert found.score.accuracy < 0.7, "noise cannot be told apart unless it was seen"
    torch.testing.assert_close(found.linear.weight, solve(images[None], targets, 2, strengths=[1.0]).linear.weight)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(2, 5), st.integers(0, 3))
@settings(deadline=None)
def test_folds_are_even_within_every_class(classes: list[int], count: int, seed: int) -> None:
    targets = torch.tensor(classes)
    fold = stratified_folds(targets, count, seed)
    assert torch.equal(fold, stratified_folds(targets, count, seed))
    for images in (torch.ones_like(targets, dtype=torch.bool), *(targets == each for each in targets.unique())):
        sizes = fold[images].bincount(minlength=count)
        assert sizes.max() - sizes.min() <= 1
    hot = torch.nn.functional.one_hot(targets, 4)
    assert torch.equal(stratified_folds(hot[:, [3, 2, 1, 0]], count, seed), fold), "kinds of labels, in their order"
