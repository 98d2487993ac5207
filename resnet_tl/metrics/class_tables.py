"""The tables of a classifier's evaluation."""

from __future__ import annotations

from resnet_tl.metrics.classification import ClassificationMetrics
from resnet_tl.metrics.evaluated import metric_options
from resnet_tl.metrics.score_tables import ScoreTables, assembled, score
from resnet_tl.structures.evaluation import ClassEvaluation


def class_tables(evaluation: ClassEvaluation, metrics: ClassificationMetrics) -> ScoreTables:
    options = metric_options(evaluation)
    scores, headline = metrics.compute(**options), metrics.headline
    summary = [
        score(headline, scores[headline], metrics.interval()),
        *(score(name, value) for name, value in scores.items() if name != headline),
    ]
    return ScoreTables(assembled(summary, metrics.tables(**options), evaluation.classes), [])
