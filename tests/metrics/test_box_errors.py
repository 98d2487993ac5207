"""Kinds of errors and their costs equal those of tidecv, the authors' own tool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnet_tl.metrics.box_errors import KINDS, find_errors
from tests.metrics.box_sets import box_set

COUNTS = {"class": 181, "location": 466, "both": 182, "duplicate": 103, "background": 463}
MISSED = 545
COSTS = {
    "class": 6.3497, "location": 19.9329, "both": 1.4105, "duplicate": 0.5048, "background": 3.9821, "missed": 9.4692,
}  # fmt: skip
"""By tidecv 1.0.1 for `box_set()`: TIDE().evaluate(..., mode=TIDE.BOX), run.error_dict and run.fix_main_errors()."""


def test_they_are_tidecvs_on_500_images() -> None:
    errors = find_errors(box_set())
    assert {kind: int((errors.kinds == number).sum()) for number, kind in enumerate(KINDS)} == COUNTS
    assert int(errors.missed.sum()) == MISSED
    assert {kind: 100 * cost for kind, cost in errors.costs.items()} == pytest.approx(COSTS, abs=6e-5)


def test_detections_in_a_crowd_are_no_errors() -> None:
    evaluation = box_set(images=100)
    everything = replace(evaluation, target_crowd=np.ones(len(evaluation.target_labels), np.bool_))
    errors = find_errors(everything)
    assert not errors.missed.any()
    assert set(errors.costs.values()) == {0.0}


def test_one_error_of_each_kind() -> None:
    """One object, of class 0; detections of one kind each, of falling score."""
    boxes = {"hit": [0, 0, 10, 10], "duplicate": [0, 0, 10, 9], "class": [0, 0, 10, 10], "location": [0, 0, 10, 30],
             "both": [0, 0, 10, 25], "background": [50, 50, 60, 60]}  # fmt: skip
    labels = {"class": 1, "both": 1}
    base = box_set(images=3)
    evaluation = replace(
        base,
        target_image=np.array([0]),
        target_labels=np.array([0]),
        target_crowd=np.array([False]),
        target_area=np.array([100.0]),
        target_boxes=np.array([[0.0, 0, 10, 10]]),
        target_mask_bytes=np.zeros(1, np.int64),
        image=np.zeros(6, np.int64),
        labels=np.array([labels.get(kind, 0) for kind in boxes]),
        scores=np.linspace(0.9, 0.4, 6),
        boxes=np.array(list(boxes.values()), np.float64),
        mask_bytes=np.zeros(6, np.int64),
    )
    errors = find_errors(evaluation)
    assert [KINDS[kind] if kind >= 0 else "hit" for kind in errors.kinds] == list(boxes)
    assert errors.targets.tolist() == [0, 0, 0, 0, 0, -1]
    assert not errors.missed.any()
