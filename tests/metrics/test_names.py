"""Scores by the names that people know."""

from __future__ import annotations

import pytest

from resnet_tl.metrics.names import metric_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("val/acc", "accuracy"),
        ("map50", "mAP at IoU 0.5"),
        ("mask_map50", "mask mAP at IoU 0.5"),
        ("mar10", "recall, 10 per image"),
        ("val/mask_mar_small", "mask recall, small"),
        ("sensitivity_at_specificity_0.9", "sensitivity at specificity 0.9"),
        ("mine", "mine"),
    ],
)
def test_a_score_has_its_name(key: str, name: str) -> None:
    assert metric_name(key) == name
