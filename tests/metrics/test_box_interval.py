"""mAP in resamples: that of the images drawn, as often as they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnet_tl.metrics.box_interval import mean_precision_interval, mean_precisions
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.metrics.box_sets import box_set


def drawn(e: BoxEvaluation, counts: np.ndarray) -> BoxEvaluation:
    """The set with each image as often as it was drawn."""
    images = np.repeat(np.arange(len(e)), counts)
    targets = [np.flatnonzero(e.target_image == image) for image in images]
    found = [np.flatnonzero(e.image == image) for image in images]
    t, d = np.concatenate(targets), np.concatenate(found)
    return replace(
        e,
        keys=np.array([str(number) for number in range(len(images))]),
        sizes=e.sizes[images],
        target_image=np.repeat(np.arange(len(images)), [len(each) for each in targets]),
        image=np.repeat(np.arange(len(images)), [len(each) for each in found]),
        **{
            name: getattr(e, name)[t]
            for name in ("target_labels", "target_crowd", "target_area", "target_boxes", "target_mask_bytes")
        },
        **{name: getattr(e, name)[d] for name in ("labels", "scores", "boxes", "mask_bytes")},
    )


def test_a_resample_scores_as_its_images_do() -> None:
    evaluation, draw = box_set(images=60, crowds=0.1), np.random.default_rng(0)
    counts = np.stack([np.ones(60, int), *(np.bincount(draw.integers(60, size=60), minlength=60) for _ in range(3))], 1)
    ours = mean_precisions(evaluation, counts.astype(np.int32))
    for column, score in zip(counts.T, ours, strict=True):
        assert score == pytest.approx(metrics_of(drawn(evaluation, column)).compute()["map"], abs=1e-9)


def test_the_interval_contains_the_score() -> None:
    evaluation = box_set(images=40)
    low, high = mean_precision_interval(evaluation)
    assert low < metrics_of(evaluation).compute()["map"] < high
