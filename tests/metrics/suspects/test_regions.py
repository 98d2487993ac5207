"""A part of a mask that was given another class is found; uncertain edges and ignored pixels are not."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.metrics.suspects.regions import RegionSuspects
from resnet_tl.structures.records import IGNORE

SIDE = 100


def probabilities(mask: np.ndarray, sure: float = 0.96) -> np.ndarray:
    """`[3, H, W]`: the mask's class has `sure`, and noise."""
    draw = np.random.default_rng(0)
    logits = np.log((1 - sure) / 2) * np.ones((3, *mask.shape)) + draw.normal(0, 0.1, (3, *mask.shape))
    np.put_along_axis(logits, mask[None].astype(np.int64), np.log(sure), 0)
    return (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)


@pytest.fixture
def true() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[50:] = 1
    mask[60:80, 10:30] = 2
    return mask


def test_a_mislabelled_region_is_found_where_it_is(true: np.ndarray) -> None:
    given = true.copy()
    given[60:80, 10:30] = 1  # the only object of class c of this image
    regions = RegionSuspects(["a", "b", "c"])
    regions.add("right.png", probabilities(true), true)
    regions.add("wrong.png", probabilities(true), given)
    (found,) = regions.found()
    assert (found.kind, found.key, found.given, found.suggested) == ("region", "wrong.png", "b", "c")
    assert found.box == (10, 60, 30, 80)
    assert found.pixels == 400
    assert found.score == pytest.approx(0.98, abs=0.01)


def test_edges_that_are_a_little_off_are_no_regions(true: np.ndarray) -> None:
    moved = np.roll(true, 2, 0)
    regions = RegionSuspects(["a", "b", "c"])
    regions.add("moved.png", probabilities(true), moved)
    assert regions.found() == []


def test_a_class_that_is_given_with_some_reason_is_no_suspect(true: np.ndarray) -> None:
    given = true.copy()
    given[60:80, 10:30] = 1
    regions = RegionSuspects(["a", "b", "c"])
    regions.add("right.png", probabilities(true, sure=0.8), true)
    regions.add("likely.png", probabilities(true, sure=0.8), given)
    assert regions.found() == []


def test_what_is_less_sure_than_the_class_usually_is_is_no_suspect(true: np.ndarray) -> None:
    given = true.copy()
    given[60:80, 10:30] = 1
    regions = RegionSuspects(["a", "b", "c"])
    regions.add("right.png", probabilities(true), true)
    regions.add("unsure.png", probabilities(true, sure=0.92), given)
    assert regions.found() == []


def test_ignored_pixels_are_not_examined(true: np.ndarray) -> None:
    given = true.copy()
    given[60:80, 10:30] = IGNORE
    regions = RegionSuspects(["a", "b", "c"])
    regions.add("right.png", probabilities(true), true)
    regions.add("ignored.png", probabilities(true), given)
    assert regions.found() == []
