"""Two networks on the same images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnet_tl.metrics.bootstrap import RESAMPLES, SEED, resample
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.paired import Spread, difference, headline, scores_in, select, spread
from resnet_tl.structures.evaluation import ClassEvaluation, Evaluation, PixelEvaluation
from tests.metrics.box_sets import box_set


def classes(images: int = 300, seed: int = 0, skill: float = 1.0, multi_label: bool = False) -> ClassEvaluation:
    """A classifier of images that are as hard for every seed; `skill` moves all logits of true classes."""
    truth, noise = np.random.default_rng(99), np.random.default_rng(seed)
    targets, hard = truth.integers(0, 4, images), truth.normal(0, 1, (images, 4))
    logits = hard + noise.normal(0, 0.5, (images, 4)) + skill * np.eye(4)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return ClassEvaluation(
        classes=list("abcd"),
        root="nowhere",
        split="val",
        step=1,
        absent=[],
        keys=np.array([f"{number:04}" for number in range(images)]),
        losses=np.zeros(images, np.float32),
        probabilities=probabilities.astype(np.float32),
        targets=np.eye(4)[targets] > 0 if multi_label else targets,
        thresholds=np.full(4, 0.5, np.float32) if multi_label else np.zeros(0, np.float32),
    )


def pixels(images: int = 40, seed: int = 0) -> PixelEvaluation:
    draw = np.random.default_rng(seed)
    tables = draw.integers(0, 30, (images, 3, 3)) + 60 * np.eye(3, dtype=int)
    image, true, guess = np.nonzero(tables)
    shared = {name: getattr(classes(images), name) for name in ("root", "split", "step", "absent", "keys", "losses")}
    cells = np.stack([image, true, guess, tables[image, true, guess]], 1)
    return PixelEvaluation(classes=list("abc"), **shared, cells=cells, edges=np.zeros((3, 4), np.int64))


KINDS: dict[str, Evaluation] = {
    "classes": classes(),
    "labels": classes(multi_label=True),
    "boxes": box_set(images=40),
    "pixels": pixels(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_resample_of_every_image_once_is_the_score(kind: str) -> None:
    evaluation = KINDS[kind]
    once = np.ones((len(evaluation), 2), np.int32)
    assert scores_in(evaluation, once) == pytest.approx([headline(evaluation)] * 2, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_scores_as_its_images(kind: str) -> None:
    evaluation = KINDS[kind]
    chosen = np.arange(3, len(evaluation), 2)
    counts = np.isin(np.arange(len(evaluation)), chosen).astype(np.int32)[:, None]
    part = select(evaluation, chosen)
    assert part.keys.tolist() == evaluation.keys[chosen].tolist()
    assert headline(part) == pytest.approx(scores_in(evaluation, counts)[0], abs=1e-6)
    assert headline(part) != pytest.approx(headline(evaluation), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_does_not_differ_from_itself(kind: str) -> None:
    same = difference([KINDS[kind]], [KINDS[kind]])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert not same.sure


def test_a_better_network_is_found_on_the_common_images() -> None:
    worse, better = classes(skill=0.8), classes(seed=1, skill=1.6)
    moved = replace(select(better, np.arange(50, 300)), root="elsewhere")
    found, back = difference([worse], [moved]), difference([moved], [worse])
    assert found.images == 250
    assert found.value == pytest.approx(headline(moved) - headline(select(worse, np.arange(50, 300))))
    assert 0 < found.low < found.value < found.high
    assert found.sure
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_pairs_are_compared_more_sharply_than_scores() -> None:
    one, other = classes(skill=1.0), classes(seed=1, skill=1.2)
    found = difference([one], [other])
    widths = [high - low for low, high in (metrics_of(each).interval() for each in (one, other))]  # type: ignore[union-attr]
    assert found.high - found.low < 0.8 * (widths[0] ** 2 + widths[1] ** 2) ** 0.5


@pytest.mark.parametrize("images", [150, 500])
def test_95_of_100_intervals_contain_the_true_difference(images: int) -> None:
    """Of accuracy, over 4,000 sets of images: the first alone is right on 8 % of all images, the second on 11 %."""
    counts = resample(np.random.default_rng(SEED), images, RESAMPLES).astype(np.float32)
    draw = np.random.default_rng(1)
    outcomes = draw.choice([0, -1, 1], p=[0.81, 0.08, 0.11], size=(4000, images)).astype(np.float32)
    low, high = np.percentile(outcomes @ counts / images, [2.5, 97.5], axis=1)
    assert 0.94 <= ((low <= 0.03) & (high >= 0.03)).mean() <= 0.96


def seeds(count: int, first: int, images: int = 300) -> list[ClassEvaluation]:
    """Runs of one recipe: each seed has its luck, which moves all of its logits."""
    luck = np.random.default_rng(first).normal(1.0, 0.15, count)
    return [classes(images, first * 100 + number, skill) for number, skill in enumerate(luck)]


def test_the_variance_between_seeds_is_pooled() -> None:
    groups = [seeds(4, 1), seeds(3, 2), seeds(1, 3)]
    scores = [[headline(each) for each in group] for group in groups[:2]]
    expected = (3 * np.var(scores[0], ddof=1) + 2 * np.var(scores[1], ddof=1)) / 5
    assert spread(groups) == (pytest.approx(expected), 5)
    assert spread([seeds(1, 1), seeds(1, 2)]) == Spread(0.0, 0)


@pytest.mark.slow
def test_seeds_of_one_recipe_are_rarely_called_different() -> None:
    """Four against four of equal luck on average: at most 5 % of 200; single networks, which luck does make differ, are
    called different far more often."""
    groups, single = 0, 0
    for number in range(200):
        first, second = seeds(4, 2 * number + 1000), seeds(4, 2 * number + 1001)
        groups += difference(first, second, spread([first, second])).sure
        single += difference(first[:1], second[:1]).sure
    assert groups <= 10
    assert single > 10
