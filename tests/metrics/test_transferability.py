"""Scores of features agree with slow or independent computations, and order what is easy before what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group

from resnet_tl.metrics import transferability
from resnet_tl.metrics.transferability import h_score, leep, log_me, nce, neighbours_agree, probe_right
from resnet_tl.models.logistic_regression import stratified_folds

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
SCORES = {
    "log_me": log_me,
    "h_score": h_score,
    "neighbours": lambda features, targets: neighbours_agree(features, targets).mean(),
    "probe": lambda features, targets: probe_right(features, targets).mean(),
}


def blobs(apart: float, images: int = 60, width: int = 8, classes: int = 3) -> tuple[Floats, Classes]:
    draw = np.random.default_rng(0)
    targets = np.arange(images) % classes
    return draw.normal(0, 1, (images, width)) + apart * draw.normal(0, 1, (classes, width))[targets], targets


def log_me_by_hand(features: Floats, targets: Classes) -> float:
    """Searches prior and noise for which the targets, jointly normal, are likeliest."""

    def best(target: Floats) -> float:
        def unlikely(logs: Floats) -> float:
            prior, noise = np.exp(logs)
            covariance = prior * features @ features.T + noise * np.eye(len(target))
            return -float(multivariate_normal(np.zeros(len(target)), covariance).logpdf(target))

        starts = [(0.0, 0.0), (-3.0, -1.0), (-6.0, -2.0)]
        return -min(minimize(unlikely, start, method="Nelder-Mead").fun for start in starts) / len(target)

    return float(np.mean([best((targets == k).astype(float)) for k in np.unique(targets)]))


@pytest.mark.parametrize(("images", "width"), [(24, 5), (12, 20), (30, 200)])
def test_log_me_is_the_evidence_of_a_search(images: int, width: int) -> None:
    features, targets = blobs(0.7, images, width)
    assert log_me(features, targets) == pytest.approx(log_me_by_hand(features, targets), abs=1e-4)


def log_me_by_inverses(features: Floats, targets: Classes) -> float:
    """MacKay's updates on the covariance of the weights, with nothing factored."""
    images, width = features.shape

    def evidence(target: Floats) -> float:
        alpha = beta = 1.0
        for _ in range(500):
            precision = alpha * np.eye(width) + beta * features.T @ features
            mean = beta * np.linalg.solve(precision, features.T @ target)
            effective = width - alpha * np.trace(np.linalg.inv(precision))
            squares, residual = mean @ mean, ((target - features @ mean) ** 2).sum()
            alpha, beta = effective / squares, (images - effective) / residual
        fit = alpha * squares + beta * residual
        volume = width * np.log(alpha) + images * np.log(beta / (2 * np.pi))
        precision = alpha * np.eye(width) + beta * features.T @ features
        return float(volume - fit - np.linalg.slogdet(precision)[1]) / (2 * images)

    return float(np.mean([evidence((targets == k).astype(float)) for k in np.unique(targets)]))


@pytest.mark.parametrize(("images", "width", "apart"), [(60, 8, 0.7), (200, 16, 2.0)])
def test_log_me_is_that_of_plain_updates(images: int, width: int, apart: float) -> None:
    features, targets = blobs(apart, images, width)
    assert log_me(features, targets) == pytest.approx(log_me_by_inverses(features, targets), abs=1e-9)


@pytest.mark.parametrize(("images", "width"), [(60, 8), (40, 60)])
def test_h_score_is_that_of_an_inverse(images: int, width: int) -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    features, targets = blobs(1.0, images, width, classes=4)
    inner = features - features.mean(0)
    shrunk, share = covariance.ledoit_wolf(inner, assume_centered=True)
    means = np.stack([inner[targets == k].mean(0) for k in range(4)])[targets]
    expected = (1 - share) * np.trace(np.linalg.inv(shrunk) @ (means.T @ means) / images)
    assert h_score(features, targets) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_classes_apart_score_higher_than_shuffled_ones(name: str) -> None:
    features, targets = blobs(2.0)
    score = SCORES[name]
    assert score(features, targets) > score(features, np.random.default_rng(1).permutation(targets))


@pytest.mark.parametrize("name", ["log_me", "h_score", "neighbours"])
def test_rotation_names_of_classes_and_order_do_not_matter(name: str) -> None:
    features, targets = blobs(1.0)
    rotation, order = ortho_group.rvs(8, random_state=0), np.random.default_rng(2).permutation(len(targets))
    turned = (features @ rotation)[order], np.array([7, 3, 5])[targets][order]
    assert SCORES[name](*turned) == pytest.approx(SCORES[name](features, targets), abs=1e-9)


def test_h_score_of_many_images_is_that_of_their_plain_covariance() -> None:
    features, targets = blobs(1.0, 30_000, 4)
    centred = features - features.mean(0)
    means = np.stack([centred[targets == k].mean(0) for k in range(3)])[targets]
    expected = np.trace(np.linalg.solve(np.cov(centred.T), np.cov(means.T)))
    assert h_score(features, targets) == pytest.approx(expected, rel=2e-3)


def test_h_score_is_not_flattered_by_wide_features_of_noise() -> None:
    features, targets = np.random.default_rng(0).normal(0, 1, (40, 400)), np.arange(40) % 2
    assert 0 <= h_score(features, targets) < 0.5  # not 1, as with the plain covariance


@pytest.mark.parametrize("chunk", [2**24, 100])
def test_neighbours_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(transferability, "CHUNK", chunk)
    features, targets = blobs(0.8, 40, 4)
    lengths = np.linalg.norm(features, axis=1)
    cosines = features @ features.T / np.outer(lengths, lengths)
    for image, agrees in enumerate(neighbours_agree(features, targets)):
        nearest = [other for other in np.argsort(-cosines[image]) if other != image][:5]
        votes = np.bincount(targets[nearest], minlength=3)
        winners = np.flatnonzero(votes == votes.max())
        close = [sum(cosines[image, other] for other in nearest if targets[other] == k) for k in winners]
        assert agrees == (winners[np.argmax(close)] == targets[image])


def leep_by_loops(probabilities: Floats, targets: Classes) -> float:
    images, sources = probabilities.shape
    together = {(y, z): 0.0 for y in set(targets) for z in range(sources)}
    for row, y in zip(probabilities, targets, strict=True):
        for z in range(sources):
            together[y, z] += row[z] / images
    alone = [sum(together[y, z] for y in set(targets)) for z in range(sources)]
    logs = [
        np.log(sum(row[z] * together[y, z] / alone[z] for z in range(sources)))
        for row, y in zip(probabilities, targets, strict=True)
    ]
    return float(sum(logs) / images)


def entropy(labels: list[Any]) -> float:
    shares = np.array(list(Counter(labels).values())) / len(labels)
    return -float((shares * np.log(shares)).sum())


@pytest.mark.parametrize(("sources", "sharpness"), [(2, 1.0), (7, 5.0), (40, 0.1)])
def test_leep_and_nce_are_those_of_their_definitions(sources: int, sharpness: float) -> None:
    draw = np.random.default_rng(0)
    targets = draw.permutation(np.array([3, 5, 8])[np.arange(50) % 3])
    probabilities = np.exp(sharpness * draw.normal(0, 1, (50, sources)))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert leep(probabilities, targets) == pytest.approx(leep_by_loops(probabilities, targets), abs=1e-9)
    predicted = probabilities.argmax(1)
    conditional = entropy(list(zip(predicted, targets, strict=True))) - entropy(list(predicted))
    assert nce(predicted, targets) == pytest.approx(-conditional, abs=1e-9)


def test_leep_and_nce_are_zero_for_a_classifier_that_knows_these_classes() -> None:
    targets = np.arange(12) % 3
    certain = np.eye(5)[targets + 1]  # two classes that no image has at all
    assert leep(certain, targets) == nce(targets + 1, targets) == 0
    useless = np.full((12, 4), 0.25)
    assert leep(useless, targets) == pytest.approx(-np.log(3))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_is_that_of_scikit_learn_at_the_penalty_that_it_chooses(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    monkeypatch.setattr(transferability, "STRENGTHS", (10.0,))
    features, targets = blobs(0.5, 90, 8, classes)
    fold, expected = stratified_folds(torch.eye(classes)[targets], 5).numpy(), np.empty(90, np.bool_)
    for each in range(5):
        held = fold == each
        mean, spread = features[~held].mean(0), features[~held].std(0)
        fitted = linear.LogisticRegression(C=0.2 if classes == 2 else 0.1, tol=1e-8, max_iter=1000)
        fitted.fit((features[~held] - mean) / spread, targets[~held])
        expected[held] = fitted.predict((features[held] - mean) / spread) == targets[held]
    np.testing.assert_array_equal(probe_right(features, targets), expected)


def test_the_probe_chooses_a_strong_penalty_where_a_weak_one_learns_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    targets = np.arange(120) % 2
    features = draw.normal(0, 1, (120, 200))
    features += 0.25 * (2 * targets[:, None] - 1)  # a little of it in each
    features[:, 100:] = draw.normal(0, 1, (120, 100))
    chosen = probe_right(features, targets).mean()
    monkeypatch.setattr(transferability, "STRENGTHS", (1e-4,))
    assert chosen > probe_right(features, targets).mean()


def test_the_probe_sees_nothing_of_the_images_that_it_is_tested_on() -> None:
    draw = np.random.default_rng(0)
    right = probe_right(draw.normal(0, 1, (100, 300)), np.arange(100) % 2)  # wide enough to learn all by heart
    assert right.mean() < 0.65


@pytest.mark.parametrize("agree", [probe_right, neighbours_agree])
def test_samples_of_one_image_say_nothing_of_each_other(agree: Callable[..., NDArray[np.bool_]]) -> None:
    draw = np.random.default_rng(0)
    features, targets = draw.normal(0, 1, (40, 100)).repeat(6, 0), draw.permutation(np.arange(40) % 2).repeat(6)
    assert agree(features, targets).all()  # its copies give it away
    assert agree(features, targets, np.arange(40).repeat(6)).mean() < 0.75


@pytest.mark.parametrize("name", SCORES)
def test_two_images_a_class_and_features_that_are_constant_are_enough(name: str) -> None:
    features = np.array([[0, 1, 0], [0, 1, 0.1], [1, 0, 0], [1, 0.1, 0]], np.float32)
    score: Callable[[Floats, Classes], float] = SCORES[name]
    assert np.isfinite(score(np.hstack([features, np.ones((4, 1), np.float32)]), np.array([0, 0, 1, 1])))
