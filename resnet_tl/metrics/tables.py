"""The tables of an evaluation: the one place that computes what `validate`, `test` and reports show and write."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_tl.metrics.box_tables import box_tables
from resnet_tl.metrics.class_tables import class_tables
from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.evaluated import Metrics, metrics_of
from resnet_tl.metrics.pixel_tables import pixel_tables
from resnet_tl.metrics.regression import RegressionMetrics
from resnet_tl.metrics.score_tables import ScoreTables
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.metrics.value_tables import value_tables
from resnet_tl.structures.evaluation import BoxEvaluation, ClassEvaluation, Evaluation, PixelEvaluation, ValueEvaluation


def tables_of(
    evaluation: Evaluation,
    metrics: Metrics | None = None,
    *,
    box_scores: Sequence[float] | None = None,
    temperature: Sequence[float] | None = None,
    specificity: float | None = None,
) -> ScoreTables:
    """Computes the tables.

    Args:
        metrics: of `evaluation`, where they exist already.
        box_scores: K, from which on detections count, see `Decisions`; None: where the F1 of each class is best.
        temperature: by which `predict` calibrates the probabilities of the evaluation, see `Decisions`; None: it does
            not.
        specificity: of a classifier, at which the sensitivity of each class is computed; None: not at all.
    """
    metrics = metrics_of(evaluation) if metrics is None else metrics
    if isinstance(evaluation, ClassEvaluation):
        assert isinstance(metrics, ClassificationMetrics)
        return class_tables(evaluation, metrics, specificity, temperature)
    if isinstance(evaluation, PixelEvaluation):
        assert isinstance(metrics, SegmentationMetrics)
        return pixel_tables(evaluation, metrics)
    if isinstance(evaluation, ValueEvaluation):
        assert isinstance(metrics, RegressionMetrics)
        return value_tables(evaluation, metrics)
    assert isinstance(evaluation, BoxEvaluation)
    assert isinstance(metrics, DetectionMetrics)
    return box_tables(evaluation, metrics, box_scores)
