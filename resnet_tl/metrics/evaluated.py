"""Metrics of recorded predictions: the same numbers as the pass that recorded them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.detection import DetectionMetrics, Objects
from resnet_tl.metrics.regression import RegressionMetrics
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation

Metrics = ClassificationMetrics | DetectionMetrics | SegmentationMetrics | RegressionMetrics


def metrics_of(evaluation: Evaluation) -> Metrics:
    """Returns metrics that have seen the images of `evaluation`; they exchange nothing with other ranks."""
    metrics: Metrics
    if isinstance(evaluation, ClassEvaluation):
        metrics = _of_classes(evaluation)
    elif isinstance(evaluation, PixelEvaluation):
        metrics = _of_pixels(evaluation)
    elif isinstance(evaluation, ValueEvaluation):
        metrics = _of_values(evaluation)
    else:
        assert isinstance(evaluation, BoxEvaluation)
        metrics = _of_boxes(evaluation)
    if not isinstance(metrics, DetectionMetrics):
        metrics.absent = evaluation.absent
    metrics.metric.distributed_available_fn = lambda: False
    return metrics


def metric_options(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the arguments of the metrics' `compute` and `tables`."""
    if not isinstance(evaluation, ClassEvaluation):
        return {}
    return {"thresholds": torch.from_numpy(evaluation.thresholds) if evaluation.multi_label else None}


def objects_of(evaluation: BoxEvaluation) -> Objects:
    """Returns the rows of a detector's evaluation, whose images count from 0."""
    e = evaluation
    images = torch.cat([torch.arange(len(e))[:, None], torch.from_numpy(e.sizes)], 1).double()
    predictions = _rows(e.image, e.labels, e.scores, e.boxes, e.mask_bytes)
    targets = _rows(e.target_image, e.target_labels, e.target_crowd, e.target_area, e.target_boxes, e.target_mask_bytes)
    masks = torch.from_numpy(e.masks), torch.from_numpy(e.target_masks)
    return Objects(images, predictions, targets, *masks, e.has_masks)


def _of_classes(evaluation: ClassEvaluation) -> ClassificationMetrics:
    metrics = ClassificationMetrics(evaluation.classes, evaluation.multi_label)
    probabilities, targets = torch.from_numpy(evaluation.probabilities), torch.from_numpy(evaluation.targets)
    metrics.update(probabilities, targets, torch.ones(len(evaluation), dtype=torch.bool))
    return metrics


def _of_pixels(evaluation: PixelEvaluation) -> SegmentationMetrics:
    metrics = SegmentationMetrics(evaluation.classes)
    keep = torch.ones(len(evaluation), dtype=torch.bool)
    metrics.metric.update(torch.from_numpy(evaluation.confusions()), keep, torch.from_numpy(evaluation.edges))
    return metrics


def _of_values(evaluation: ValueEvaluation) -> RegressionMetrics:
    metrics = RegressionMetrics(evaluation.classes)
    metrics.sd = evaluation.sd.astype(np.float64)
    predictions, targets = torch.from_numpy(evaluation.predictions), torch.from_numpy(evaluation.targets)
    metrics.update(predictions, targets, torch.ones(len(evaluation), dtype=torch.bool))
    return metrics


def _of_boxes(evaluation: BoxEvaluation) -> DetectionMetrics:
    metrics = DetectionMetrics(evaluation.classes)
    metrics.metric.update(objects_of(evaluation))
    return metrics


def _rows(*columns: Any) -> Tensor:
    tensors = [torch.from_numpy(column).double() for column in columns]
    return torch.cat([column[:, None] if column.ndim == 1 else column for column in tensors], 1)
