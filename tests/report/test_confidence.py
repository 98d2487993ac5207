"""Confidence in words and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.report.assets import Assets
from resnet_tl.report.confidence import confidence


@pytest.mark.parametrize(
    ("score", "error", "leaning"),
    [
        (0.75, "0.000", "predictions are right as often as their score says"),
        (0.9, "0.150", "the score is 15.0 points above the share that is right"),
        (0.5, "0.250", "the score is 25.0 points below the share that is right"),
    ],
)
def test_the_lead_says_which_way_scores_are_wrong(score: float, error: str, leaning: str) -> None:
    right = np.array([True, True, True, False] * 10)
    assets = Assets()
    section = confidence(np.full(40, score), right, assets, word="score", unit="detections", note="Note.")
    assert section.lead == f"Expected calibration error {error}. On average, {leaning}. Note."
    assert len(assets.charts) == 2


def test_right_predictions_of_what_did_not_occur_count_as_right() -> None:
    assets = Assets()
    scores, occurred = np.array([0.1, 0.9]), np.array([False, True])
    confidence(scores, occurred, assets, word="probability", unit="labels", right=np.array([True, True]))
    histogram = list(assets.charts.values())[1]
    counts = {(row["prediction"], round(row["low"], 2)): row["labels"] for row in histogram["data"]["values"]}
    assert counts["right", 0.1] == counts["right", 0.9] == 1
    assert sum(counts.values()) == 2


@pytest.mark.filterwarnings("error")
def test_nothing_detected_is_a_sentence() -> None:
    assets = Assets()
    section = confidence(np.zeros(0), np.zeros(0, bool), assets, word="score", unit="detections")
    assert section.lead == "There are no detections."
    assert not assets.charts
