"""Metrics before the first batch."""

from __future__ import annotations

import pytest
import torch

from resnet_tl.errors import RunError
from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.metrics.stored import joined


def test_parts_are_joined_in_order() -> None:
    assert joined([torch.tensor([1, 2]), torch.tensor([3])]).tolist() == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize(
    "metrics",
    [
        ClassificationMetrics(["ant", "bee"]),
        ClassificationMetrics(["ant", "bee"], multi_label=True),
        SegmentationMetrics(["ant", "bee"]),
        DetectionMetrics(["ant", "bee"]),
    ],
)
def test_metrics_of_no_batch_are_refused_in_a_sentence(metrics: ClassificationMetrics) -> None:
    for compute in (metrics.compute, metrics.tables):
        with pytest.raises(RunError, match="no batch was evaluated"):
            compute()
