"""What a server says about its model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.serve.about import Model, abilities, about, describe
from resnet_tl.serve.settings import Settings
from resnet_tl.structures.decisions import Decisions


def test_metrics_of_a_run_have_the_names_that_people_know(tmp_path: Path) -> None:
    best = {"epoch": 3, "val/acc": 0.75, "val/loss": 0.5, "val/map_small": -1.0}
    (tmp_path / "summary.json").write_text(json.dumps({"best": best}))
    assert describe(str(tmp_path)) == Model(tmp_path.name, {"accuracy": 0.75, "loss": 0.5})


def test_folds_have_means(tmp_path: Path) -> None:
    metrics = {"val/acc": {"mean": 0.8, "sd": 0.1, "values": [0.7, 0.9]}}
    (tmp_path / "folds.json").write_text(json.dumps({"folds": 2, "metrics": metrics}))
    assert describe(str(tmp_path)).metrics == {"accuracy": 0.8}


def test_a_file_has_its_name_alone(tmp_path: Path) -> None:
    assert describe(str(tmp_path / "birds.onnx"))[1] == {}


@pytest.mark.parametrize("scores", [None, [0.25, 0.5, 0.75]])
def test_decided_scores_are_those_of_a_detector(predictor: Callable[..., Any], scores: list[float] | None) -> None:
    detector = predictor("detection")
    detector.decisions = Decisions(box_scores=scores)
    answer = about(Model("a", {}), detector, abilities(detector), Settings())
    assert answer["scores"] == (scores and dict(zip(detector.classes, scores, strict=True)))
    classifier = predictor("classification")
    assert about(Model("a", {}), classifier, abilities(classifier), Settings())["scores"] is None
