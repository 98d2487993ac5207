"""How sure predictions are, and how often they are right then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics.calibration import calibration_error, confidence_bins, overconfidence
from resnet_tl.report import charts
from resnet_tl.report.assets import Assets
from resnet_tl.report.section import Section, drawn


def confidence(
    scores: NDArray[np.floating],
    occurred: NDArray[np.bool_],
    assets: Assets,
    *,
    word: str,
    unit: str,
    right: NDArray[np.bool_] | None = None,
    note: str = "",
) -> Section:
    """Builds the section.

    Args:
        scores: `[N]`, 0...1. occurred: `[N]`, what they are the probabilities of.
        word: what a score is called. unit: what is counted.
        right: `[N]`, the predictions that were right; None: where it occurred.
        note: a sentence at the end of the lead.
    """
    if not len(scores):
        return Section("confidence", "Confidence", "charts.html", {"charts": []}, f"There are no {unit}.")
    bins = confidence_bins(scores.astype(np.float32), occurred)
    histogram = charts.right_and_wrong(scores, occurred if right is None else right, word, unit)
    content = {
        "charts": [
            drawn("Calibration", assets.chart(charts.calibration(bins)), NOTE),
            drawn(f"Right and wrong by {word}", assets.chart(histogram)),
        ]
    }
    lead = f"Expected calibration error {calibration_error(bins):.3f}. {_leaning(overconfidence(bins), word)} {note}"
    return Section("confidence", "Confidence", "charts.html", content, lead)


NOTE = "Bars: the share that is right. Dots: the mean score in a bar. Dashed: perfectly calibrated."


def _leaning(excess: float, word: str) -> str:
    if abs(excess) < 0.005:
        return f"On average, predictions are right as often as their {word} says."
    side = "above" if excess > 0 else "below"
    return f"On average, the {word} is {abs(100 * excess):.1f} points {side} the share that is right."
