"""The tables of an evaluation of numbers."""

from __future__ import annotations

import numpy as np

from resnet_tl.metrics.regression import RegressionMetrics
from resnet_tl.metrics.score_tables import NOT_FINITE, ScoreTables, assembled, score
from resnet_tl.structures.evaluation import ValueEvaluation
from resnet_tl.structures.scores import lower_is_better


def value_tables(evaluation: ValueEvaluation, metrics: RegressionMetrics) -> ScoreTables:
    """Computes the tables; `per_class` has a row for each number. The names of errors over several say their unit."""
    logged, counted = metrics.compute(), metrics.tables()
    intervals = {metrics.headline: metrics.interval()}
    summary = [score(name, value, intervals.get(name)) for name, value in logged.items()]
    if len(evaluation.classes) > 1:
        for row in summary:
            if lower_is_better(str(row["metric"])):
                row["name"] = f"{row['name']} in standard deviations"
    notes = [] if np.isfinite(evaluation.predictions).all() else [NOT_FINITE]
    if len(evaluation.classes) > 1:
        notes.append(
            "MAE and RMSE of several numbers are means over them, each in standard deviations of the training images"
        )
    return ScoreTables(assembled(summary, counted, evaluation.classes), notes)
