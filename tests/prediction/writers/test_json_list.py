"""Classes as a JSON list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.writers.json_list import class_list
from resnet_tl.prediction.writers.output import write

MULTI_LABEL = [
    ClassPrediction(0, "a.jpg", ["ant", "bee"], [0.75, 0.5], np.array([0.75, 0.5], np.float32), multi_label=True),
    ClassPrediction(1, "b.jpg", [], [], np.array([0.25, 0.25], np.float32), multi_label=True),
]


def test_json_has_an_entry_an_image(tmp_path: Path) -> None:
    assert write(iter(MULTI_LABEL), [class_list(tmp_path / "p.json")]) == 2
    assert json.loads((tmp_path / "p.json").read_text()) == [
        {"path": "a.jpg", "labels": ["ant", "bee"], "scores": [0.75, 0.5]},
        {"path": "b.jpg", "labels": [], "scores": []},
    ]
