"""Sets of classes hold the true one as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.metrics.conformal import images_needed, margins_of, possible_from


@pytest.mark.parametrize("images", [9, 50, 153, 1000])
def test_coverage_over_many_exchangeable_splits(images: int) -> None:
    """By theory, between 0.9 and 0.9 + 1 / (N + 1), whatever the network; over 4,000 splits of 100 images each."""
    draw, found = np.random.default_rng(images), []
    for _ in range(4000):
        of_truth = draw.beta(0.6, 0.2, images + 100)
        found.append((of_truth[images:] >= possible_from(of_truth[:images])).mean())
    assert 0.9 - 0.004 < np.mean(found) < 0.9 + 1 / (images + 1) + 0.004


def test_fewer_images_than_can_tell_make_all_classes_possible() -> None:
    assert possible_from(np.full(8, 0.5)) == 0
    assert possible_from(np.linspace(0.1, 0.9, 9)) == pytest.approx(0.1)


@pytest.mark.parametrize(("images", "coverage"), [(9, 0.9), (40, 0.8), (300, 0.9)])
@pytest.mark.parametrize("quantiles", [False, True], ids=["numbers", "quantiles"])
def test_intervals_hold_the_truth_as_often_as_they_promise(images: int, coverage: float, quantiles: bool) -> None:
    """However wrong the network is: of 100 other images, on average over 3,000 splits. Errors grow with the number."""
    draw, found = np.random.default_rng(images), []
    for _ in range(3000):
        predicted = draw.uniform(0, 10, (images + 100, 2, 1))
        truth = predicted[..., 0] + 3 + draw.normal(size=predicted.shape[:2]) * predicted[..., 0]
        if quantiles:
            predicted = np.concatenate([0.9 * predicted, predicted, 1.4 * predicted], -1)
        margins = margins_of(predicted[:images], truth[:images], coverage)
        low, high = predicted[images:, :, 0] - margins, predicted[images:, :, -1] + margins
        found.append(((low <= truth[images:]) & (truth[images:] <= high)).mean(0))
    assert (coverage - 0.005 < np.mean(found, 0)).all()
    assert (np.mean(found, 0) < coverage + 1 / (images + 1) + 0.005).all()


def test_the_margin_is_the_rank_of_the_paper() -> None:
    predicted, errors = np.zeros((9, 1, 1)), np.arange(1.0, 10)[:, None]
    assert margins_of(predicted, errors, 0.9) == [9.0]  # the 9th of 10 (1 - a)
    assert margins_of(predicted, errors, 0.8) == [8.0]
    assert margins_of(predicted[:8], errors[:8], 0.9) is None


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_as_many_images_as_are_needed_suffice(coverage: float) -> None:
    needed = images_needed(coverage)
    assert margins_of(np.zeros((needed, 1, 1)), np.zeros((needed, 1)), coverage) == [0.0]
    assert margins_of(np.zeros((needed - 1, 1, 1)), np.zeros((needed - 1, 1)), coverage) is None


def test_the_margin_lies_beyond_quantiles() -> None:
    errors = np.arange(1.0, 10)[:, None]
    assert margins_of(np.array([[[-20.0, 0.0, 20.0]]] * 9), errors, 0.9) == [-11.0]
