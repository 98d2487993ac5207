"""Distances between surfaces equal those over all pairs of boundary pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from resnet_tl.metrics.surfaces import surface_distances
from resnet_tl.structures.records import IGNORE

Mask = NDArray[np.int64]


def boundary(mask: Mask, target: Mask, k: int) -> list[tuple[int, int]]:
    """The pixels of a class next to another class, where the target is not ignored."""
    pixels = []
    for y, x in np.argwhere((mask == k) & (target != IGNORE)).tolist():
        for row, column in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and target[row, column] != IGNORE and mask[row, column] != k:
                pixels.append((y, x))
                break
    return pixels


def by_hand(predicted: Mask, target: Mask, k: int, pixel: tuple[float, float]) -> list[float]:
    one, other = boundary(predicted, target, k), boundary(target, target, k)
    if not one or not other:
        return [math.inf if one or other else math.nan] * 2

    def nearest(start: list[tuple[int, int]], end: list[tuple[int, int]]) -> list[float]:
        return [min(math.hypot((y - v) * pixel[0], (x - u) * pixel[1]) for v, u in end) for y, x in start]

    there, back = nearest(one, other), nearest(other, one)
    return [float(np.mean(there + back)), float(max(np.percentile(there, 95), np.percentile(back, 95)))]


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.5, 2.0)])
def test_random_masks(pixel: tuple[float, float]) -> None:
    draw = np.random.default_rng(0)
    for shape in ((6, 9), (12, 7), (1, 1), (1, 8)):
        for _ in range(8):
            predicted, target = (np.repeat(np.repeat(draw.integers(0, 3, shape), 2, 0), 3, 1) for _ in range(2))
            target[draw.random(target.shape) < 0.05] = IGNORE
            found = surface_distances(torch.from_numpy(predicted), torch.from_numpy(target), 4, pixel)
            expected = [by_hand(predicted, target, k, pixel) for k in range(4)]
            assert found == pytest.approx(np.array(expected), nan_ok=True)


def test_a_shifted_square_in_millimetres() -> None:
    target, predicted = (torch.zeros(40, 40, dtype=torch.long) for _ in range(2))
    target[10:20, 10:20] = predicted[10:20, 14:24] = 1
    average, hausdorff = surface_distances(predicted, target, 2, (0.5, 0.5))[1]
    assert hausdorff == 2.0
    assert 0 < average < 2.0


def test_classes_without_surfaces() -> None:
    nothing, all_sky, car = torch.zeros(4, 4), torch.ones(4, 4), torch.zeros(4, 4)
    car[1:3, 1:3] = 2
    found = surface_distances(car.long(), nothing.long(), 3, (1, 1))[:, 0].tolist()
    assert found == pytest.approx([math.inf, math.nan, math.inf], nan_ok=True)
    # A class that fills both images has no surface.
    assert np.isnan(surface_distances(all_sky.long(), all_sky.long(), 3, (1, 1))).all()
