"""The tables of a segmentation network's evaluation."""

from __future__ import annotations

from resnet_tl.metrics.score_tables import ScoreTables, assembled, score
from resnet_tl.metrics.segmentation import SegmentationMetrics
from resnet_tl.structures.evaluation import PixelEvaluation


def pixel_tables(evaluation: PixelEvaluation, metrics: SegmentationMetrics) -> ScoreTables:
    scores, headline = metrics.compute(), metrics.headline
    summary = [
        score(headline, scores[headline], metrics.interval()),
        *(score(name, value) for name, value in scores.items() if name != headline),
    ]
    return ScoreTables(assembled(summary, metrics.tables(), evaluation.classes), [])
