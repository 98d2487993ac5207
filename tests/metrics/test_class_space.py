"""The relative distance in few coordinates is that of the whole covariances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_tl.metrics.class_space import fit_space, shrunk_covariance
from resnet_tl.metrics.outliers import relative

Floats = NDArray[np.float64]


def by_hand(features: Floats, targets: NDArray[np.int64], others: Floats) -> Floats:
    means = np.stack([features[targets == k].mean(0) for k in np.unique(targets)])
    of_each = means[np.unique(targets, return_inverse=True)[1]]
    within = shrunk_covariance(features - of_each)
    between = (of_each - features.mean(0)).T @ (of_each - features.mean(0)) / len(features)

    def squared(centre: Floats, covariance: Floats) -> Floats:
        return np.einsum("nc,cd,nd->n", others - centre, np.linalg.inv(covariance), others - centre)

    return np.min([squared(mean, within) for mean in means], 0) - squared(features.mean(0), within + between)


@pytest.mark.parametrize(("images", "channels", "classes"), [(400, 12, 5), (30, 60, 3), (50, 8, 2)])
def test_it_equals_two_mahalanobis_distances(images: int, channels: int, classes: int) -> None:
    draw = np.random.default_rng(images)
    targets = np.arange(images) % classes * 2  # a class without images
    features = draw.normal(0, 1, (images, channels)) @ draw.normal(0, 1, (channels, channels))
    features += 3 * draw.normal(0, 1, (10, channels))[targets]
    others = draw.normal(0, 4, (40, channels))
    found = relative(fit_space(features, targets), others, others)
    np.testing.assert_allclose(found, by_hand(features, targets, others), rtol=1e-4, atol=1e-3)


def test_the_covariance_is_drawn_to_the_identity_where_images_are_few() -> None:
    draw = np.random.default_rng(0)
    few, many = (shrunk_covariance(draw.normal(0, 2, (count, 20))) for count in (5, 200_000))
    np.testing.assert_allclose(many, 4 * np.eye(20), atol=0.1)
    assert np.linalg.cond(few) < 100
    assert np.linalg.cond(shrunk_covariance(np.zeros((5, 3)))) < 2


def test_it_is_that_of_scikit_learn() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    centred = np.random.default_rng(0).normal(0, 1, (40, 15)) * np.arange(1, 16)
    expected, _ = covariance.ledoit_wolf(centred, assume_centered=True)
    np.testing.assert_allclose(shrunk_covariance(centred), expected, rtol=1e-6)
