"""Data-set IoU and the other metrics of masks, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.segmentation import MeanIoU

from resnet_tl.metrics.segmentation import SegmentationMetrics, boundary_counts
from resnet_tl.structures.records import IGNORE


def reference(predicted: np.ndarray, targets: np.ndarray, classes: int) -> tuple[float, float, list[float | None]]:
    """Computes mIoU, pixel accuracy and the IoU of each class, None where it does not occur."""
    counted = targets != IGNORE
    predicted, targets = predicted[counted], targets[counted]
    ious: list[float | None] = []
    for k in range(classes):
        union = int(((predicted == k) | (targets == k)).sum())
        ious.append(int(((predicted == k) & (targets == k)).sum()) / union if union else None)
    known = [iou for iou in ious if iou is not None]
    return float(np.mean(known)), int((predicted == targets).sum()) / len(predicted), ious


def test_iou_is_exactly_numpys_on_500_random_cases() -> None:
    """Absent classes, ignored pixels, images of a single class, several batches, fillers."""
    draw = np.random.default_rng(0)
    for case in range(500):
        classes, images = int(draw.integers(2, 8)), int(draw.integers(1, 5))
        drawn = [draw.integers(0, int(draw.integers(1, classes + 1)), (images, 6, 7)) for _ in range(2)]
        predicted, targets = drawn[0], drawn[1].copy()
        targets[draw.random(targets.shape) < draw.choice([0.0, 0.3])] = IGNORE
        if case % 5 == 0:
            predicted[:], targets[targets != IGNORE] = 1, 1
        targets[0, 0, 0] = 0  # something counts
        metrics = SegmentationMetrics([str(k) for k in range(classes)])
        for one, other in zip(predicted, targets, strict=True):
            metrics.update(torch.tensor(one[None]), torch.tensor(other[None], dtype=torch.uint8), torch.tensor([True]))
        filler = torch.zeros(1, 6, 7, dtype=torch.long)
        metrics.update(filler, filler, torch.tensor([False]))
        miou, accuracy, ious = reference(predicted, targets, classes)
        assert metrics.compute() == {"miou": miou, "pixel_acc": accuracy}
        assert [row["iou"] for row in metrics.tables()["per_class"]] == ious


def test_miou_is_not_the_mean_over_images() -> None:
    predicted = torch.tensor([[[0, 0, 1, 1]], [[0, 1, 1, 1]]])
    targets = torch.tensor([[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
    metrics = SegmentationMetrics(["a", "b"])
    metrics.update(predicted, targets, torch.tensor([True, True]))
    theirs = MeanIoU(num_classes=2, input_format="index")
    assert metrics.compute()["miou"] == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert float(theirs(predicted, targets)) != pytest.approx(metrics.compute()["miou"])


def test_the_distribution_over_ranks_changes_nothing() -> None:
    """Applies `dist_reduce_fx` by hand: counts are summed, images are concatenated."""
    draw = torch.Generator().manual_seed(0)
    predicted, targets = (torch.randint(0, 4, (6, 9, 8), generator=draw) for _ in range(2))
    keep = torch.ones(6, dtype=torch.bool)
    single, first, second = (SegmentationMetrics(list("abcd")) for _ in range(3))
    single.update(predicted, targets, keep, boundaries=True)
    for part, metrics in ((slice(0, 6, 2), first), (slice(1, 6, 2), second)):
        metrics.update(predicted[part], targets[part], keep[part], boundaries=True)
    for name in ("confusion", "edges"):
        setattr(first.metric, name, getattr(first.metric, name) + getattr(second.metric, name))
    first.metric.images += second.metric.images
    assert first.compute() == single.compute()
    assert first.tables() == single.tables()


def test_boundaries_within_the_tolerance_match() -> None:
    targets = torch.zeros(40, 40, dtype=torch.long)
    targets[:, 20:] = 1
    near, far = torch.zeros_like(targets), torch.zeros_like(targets)
    near[:, 21:], far[:, 30:] = 1, 1
    for predicted, expected in ((targets, 1.0), (near, 1.0), (far, 0.0)):
        near_p, all_p, near_t, all_t = boundary_counts(predicted, targets, 2).T
        assert all_p.tolist() == all_t.tolist() == [40, 40]
        assert (near_p / all_p).tolist() == (near_t / all_t).tolist() == [expected, expected]
    ignored = targets.clone()
    ignored[:, 18:22] = IGNORE
    assert not boundary_counts(targets, ignored, 2)[:, 2:].any(), "ignored pixels form no boundary"


def test_the_interval_contains_the_score() -> None:
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 3, (30, 8, 8), generator=draw)
    predicted = torch.where(torch.rand(targets.shape, generator=draw) < 0.7, targets, 0)
    metrics = SegmentationMetrics(list("abc"))
    metrics.update(predicted, targets, torch.ones(30, dtype=torch.bool))
    low, high = metrics.interval()
    assert low < metrics.compute()["miou"] < high
    assert high - low < 0.2


def test_means_exclude_absent_classes_even_where_they_are_predicted() -> None:
    targets = torch.zeros(2, 8, 8, dtype=torch.long)
    targets[:, :4], predicted = 1, targets.clone()
    predicted[:, :4], predicted[:, 4:6] = 1, 2
    metrics = SegmentationMetrics(list("abc"))
    metrics.update(predicted, targets, torch.tensor([True, True]), boundaries=True)
    before, table = metrics.compute(), metrics.tables()
    assert before["miou"] == pytest.approx((0.5 + 1 + 0) / 3)
    metrics.absent = [2]
    assert metrics.compute()["miou"] == pytest.approx((0.5 + 1) / 2)
    assert metrics.compute()["boundary_f1"] > before["boundary_f1"]
    assert metrics.compute()["pixel_acc"] == before["pixel_acc"]
    assert metrics.interval()[0] == pytest.approx(0.75)
    assert metrics.tables() == table


def test_a_class_of_one_image_does_not_leave_the_mean() -> None:
    targets = torch.zeros(6, 8, 8, dtype=torch.long)
    targets[:, :4] = 1
    predicted = targets.clone()
    targets[0, 6:] = 2  # never found
    metrics = SegmentationMetrics(list("abc"))
    metrics.update(predicted, targets, torch.ones(6, dtype=torch.bool))
    low, high = metrics.interval()
    assert low <= metrics.compute()["miou"] <= high <= 2 / 3
