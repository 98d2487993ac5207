"""The sections about a network that predicts numbers: scores, predicted against true, worst and typical images."""

from __future__ import annotations

import numpy as np

from resnet_tl.metrics.extremes import worst_and_typical
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.records import RunRecord
from resnet_tl.report.section import Gallery, Picture, Section, drawn, number_table
from resnet_tl.report.words import SPLITS, capitalised
from resnet_tl.run.closing import intervals
from resnet_tl.structures.evaluation import ValueEvaluation, values_of

DRAWN = 1000
"""Points of a chart at most: evenly many of the images, by their true number."""
CHARTED = 6
"""Numbers at most that have charts, the first ones."""
WORST, TYPICAL = 12, 6
"""Images."""


def sections(run: RunRecord, evaluation: ValueEvaluation, assets: Assets) -> list[Section]:
    return [number_table(run.tables["per_class"]), _errors(run, evaluation, assets), _images(evaluation, assets)]


def _errors(run: RunRecord, evaluation: ValueEvaluation, assets: Assets) -> Section:
    shown = []
    for number, name in enumerate(evaluation.classes[:CHARTED]):
        truth, predicted = evaluation.targets[:, number], values_of(evaluation.predictions)[:, number]
        order = np.argsort(truth, kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, min(DRAWN, len(order))).astype(int)]
        points = truth[chosen], predicted[chosen], evaluation.keys[chosen].tolist()
        shown.append(drawn(f"{name}: predicted and true", assets.chart(charts.predicted_and_true(*points)), NOTE))
        shown.append(drawn(f"{name}: error by true number", assets.chart(charts.residuals(*points)), RESIDUALS))
    decisions = run.summary.get("decisions", {})
    lead = f"{capitalised(intervals(decisions))}." if "margins" in decisions else ""
    return Section("errors", "Errors", "charts.html", {"charts": shown}, lead)


NOTE = "Dashed: predicted exactly."
RESIDUALS = "Predicted minus true; a slope shows predictions that keep to the mean."


def _images(evaluation: ValueEvaluation, assets: Assets) -> Section:
    worst, typical = worst_and_typical(evaluation.losses, WORST, TYPICAL)
    ids = assets.images([evaluation.path(index) for index in [*worst, *typical]])
    galleries = [
        Gallery(
            title,
            lead,
            [
                Picture(ids[path], str(evaluation.keys[index]), lines(evaluation, index), marked)
                for index in indices
                if (path := evaluation.path(index)) in ids
            ],
        )
        for title, lead, indices, marked in (
            ("Largest errors", "Wrong numbers, unusual images, or what the network cannot see.", worst, True),
            ("Typical errors", "About the median of all images.", typical, False),
        )
        if indices
    ]
    lead = f"Of {len(evaluation):,} {SPLITS[evaluation.split]} images."
    return Section("images", "Images", "galleries.html", {"galleries": galleries}, lead)


def lines(evaluation: ValueEvaluation, index: int) -> list[str]:
    """Returns `age 31.5, true 30` for each number of an image."""
    each = zip(
        evaluation.classes, values_of(evaluation.predictions[index]).tolist(), evaluation.targets[index].tolist(),
        strict=True,
    )  # fmt: skip
    return [f"{name} {predicted:.4g}, true {true:.4g}" for name, predicted, true in each]
