"""The tables of a detector's evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resnet_tl.metrics.box_interval import mean_precision_interval
from resnet_tl.metrics.box_outcomes import BoxOutcomes
from resnet_tl.metrics.detection import DetectionMetrics
from resnet_tl.metrics.score_tables import ScoreTables, confusion, score
from resnet_tl.structures.evaluation import BoxEvaluation


def box_tables(
    evaluation: BoxEvaluation, metrics: DetectionMetrics, scores: Sequence[float] | None = None
) -> ScoreTables:
    """COCO's numbers, those of each class, what was taken for what, and what each kind of error costs.

    Args:
        scores: K, see `BoxOutcomes.of`.
    """
    headline, outcomes = metrics.headline, BoxOutcomes.of(evaluation, scores)
    numbers = {name: value if value >= 0 else math.nan for name, value in metrics.compute().items()}
    summary = [
        score(headline, numbers[headline], mean_precision_interval(evaluation)),
        *(score(name, value) for name, value in numbers.items() if name != headline),
    ]
    pairs = zip(metrics.tables()["per_class"], outcomes.class_rows(), strict=True)
    tables = {
        "summary": summary,
        "per_class": [{**row, **more} for row, more in pairs],
        "confusion": confusion(outcomes.names, outcomes.confusion().tolist()),
        "errors": outcomes.error_rows(),
    }
    return ScoreTables(tables, [])
