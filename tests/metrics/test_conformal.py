"""Sets of classes hold the true one as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.metrics.conformal import possible_from


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
