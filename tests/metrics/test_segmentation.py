"""Data-set IoU and what goes with it, against numpy written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.segmentation import MeanIoU

from resnet_tl.metrics.segmentation import SegmentationMetrics, boundary_counts
from resnet_tl.structures.records import IGNORE


def reference(said: np.ndarray, true: np.ndarray, classes: int) -> tuple[float, float, list[float | None]]:
    """mIoU, pixel accuracy and the IoU of each class, None where it does not occur."""
    counted = true != IGNORE
    said, true = said[counted], true[counted]
    ious: list[float | None] = []
    for k in range(classes):
        union = int(((said == k) | (true == k)).sum())
        ious.append(int(((said == k) & (true == k)).sum()) / union if union else None)
    known = [iou for iou in ious if iou is not None]
    return float(np.mean(known)), int((said == true).sum()) / len(said), ious


def test_iou_is_exactly_numpys_on_500_random_cases() -> None:
    """Absent classes, ignored pixels, images of a single class, several batches, fillers."""
    draw = np.random.default_rng(0)
    for case in range(500):
        classes, images = int(draw.integers(2, 8)), int(draw.integers(1, 5))
        kinds = [draw.integers(0, int(draw.integers(1, classes + 1)), (images, 6, 7)) for _ in range(2)]
        said, true = kinds[0], kinds[1].copy()
        true[draw.random(true.shape) < draw.choice([0.0, 0.3])] = IGNORE
        if case % 5 == 0:
            said[:], true[true != IGNORE] = 1, 1
        true[0, 0, 0] = 0  # something counts
        metrics = SegmentationMetrics([str(k) for k in range(classes)])
        for one, other in zip(said, true, strict=True):
            metrics.update(torch.tensor(one[None]), torch.tensor(other[None], dtype=torch.uint8), torch.tensor([True]))
        filler = torch.zeros(1, 6, 7, dtype=torch.long)
        metrics.update(filler, filler, torch.tensor([False]))
        miou, accuracy, ious = reference(said, true, classes)
        assert metrics.compute() == {"miou": miou, "pixel_acc": accuracy}
        assert [row["iou"] for row in metrics.tables()["per_class"]] == ious


def test_it_is_not_the_mean_of_each_images_iou() -> None:
    said = torch.tensor([[[0, 0, 1, 1]], [[0, 1, 1, 1]]])
    true = torch.tensor([[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
    metrics = SegmentationMetrics(["a", "b"])
    metrics.update(said, true, torch.tensor([True, True]))
    theirs = MeanIoU(num_classes=2, input_format="index")
    assert metrics.compute()["miou"] == pytest.approx((3 / 6 + 2 / 5) / 2)
    assert float(theirs(said, true)) != pytest.approx(metrics.compute()["miou"])


def test_how_images_are_dealt_out_to_processes_changes_nothing() -> None:
    """What `dist_reduce_fx` says, done by hand: sums of counts, images one after another."""
    draw = torch.Generator().manual_seed(0)
    said, true = (torch.randint(0, 4, (6, 9, 8), generator=draw) for _ in range(2))
    keep = torch.ones(6, dtype=torch.bool)
    alone, first, second = (SegmentationMetrics(list("abcd")) for _ in range(3))
    alone.update(said, true, keep, boundaries=True)
    for part, metrics in ((slice(0, 6, 2), first), (slice(1, 6, 2), second)):
        metrics.update(said[part], true[part], keep[part], boundaries=True)
    for name in ("confusion", "edges"):
        setattr(first.seen, name, getattr(first.seen, name) + getattr(second.seen, name))
    first.seen.images += second.seen.images
    assert first.compute() == alone.compute()
    assert first.tables() == alone.tables()


def test_boundaries_within_the_tolerance_count() -> None:
    true = torch.zeros(40, 40, dtype=torch.long)
    true[:, 20:] = 1
    near, far = torch.zeros_like(true), torch.zeros_like(true)
    near[:, 21:], far[:, 30:] = 1, 1
    for said, found in ((true, 1.0), (near, 1.0), (far, 0.0)):
        near_said, all_said, near_true, all_true = boundary_counts(said, true, 2).T
        assert all_said.tolist() == all_true.tolist() == [40, 40]
        assert (near_said / all_said).tolist() == (near_true / all_true).tolist() == [found, found]
    ignored = true.clone()
    ignored[:, 18:22] = IGNORE
    assert not boundary_counts(true, ignored, 2)[:, 2:].any(), "what is ignored is no boundary"


def test_the_interval_holds_the_score() -> None:
    draw = torch.Generator().manual_seed(0)
    true = torch.randint(0, 3, (30, 8, 8), generator=draw)
    said = torch.where(torch.rand(true.shape, generator=draw) < 0.7, true, 0)
    metrics = SegmentationMetrics(list("abc"))
    metrics.update(said, true, torch.ones(30, dtype=torch.bool))
    low, high = metrics.interval()
    assert low < metrics.compute()["miou"] < high
    assert high - low < 0.2
