"""The tables of a detector's evaluation."""

from __future__ import annotations

import math

from resnet_tl.metrics.box_interval import mean_precision_interval
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.score_tables import ScoreTables, assembled, score
from resnet_tl.structures.evaluation import BoxEvaluation


def box_tables(evaluation: BoxEvaluation, metrics: DetectionMetrics) -> ScoreTables:
    """COCO's numbers, and those of each class."""
    headline = metrics.headline
    scores = {name: value if value >= 0 else math.nan for name, value in metrics.compute().items()}
    summary = [
        score(headline, scores[headline], mean_precision_interval(evaluation)),
        *(score(name, value) for name, value in scores.items() if name != headline),
    ]
    return ScoreTables(assembled(summary, metrics.tables(), evaluation.classes), [])
