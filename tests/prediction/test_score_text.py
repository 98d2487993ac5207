"""Scores by class in words."""

from __future__ import annotations

import numpy as np

from resnet_tl.prediction.score_text import described


def test_few_classes_are_named_of_many_the_extremes() -> None:
    assert described(np.array([0.314, 0.42]), ["RBC", "WBC"]) == "0.31 (RBC), 0.42 (WBC)"
    assert described(np.array([0.4, 0.4]), ["RBC", "WBC"]) == "0.40"
    scores, names = np.linspace(0.8, 0.2, 7), [f"class {k}" for k in range(7)]
    assert described(scores, names) == "0.20 (class 6) to 0.80 (class 0)"
