"""The sections about predicted numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("altair", reason="needs the extra `report`")

from resnet_tl.report.assets import Assets
from resnet_tl.report.records import RunRecord
from resnet_tl.report.values import lines, sections
from resnet_tl.structures.evaluation import ValueEvaluation
from resnet_tl.tracking.run_folder import RunFolder


@pytest.fixture
def evaluation() -> ValueEvaluation:
    """Twelve images with two numbers; the predictions of the second are exact."""
    targets = np.stack([np.arange(12), 10 + np.arange(12)], 1).astype(np.float32)
    predictions = (targets + np.array([0.5, 0], np.float32))[..., None]
    keys, losses = np.array([f"{number}.png" for number in range(12)]), np.full(12, 0.5, np.float32)
    sd = np.ones(2, np.float32)
    return ValueEvaluation(["WBC area", "age"], "nowhere", "val", 3, [], keys, losses, predictions, targets, sd, 0.9)


def record(evaluation: ValueEvaluation, path: Path, decisions: dict[str, object]) -> RunRecord:
    return RunRecord(RunFolder(path), {}, {"decisions": decisions}, [], evaluation, None, [], False)


def test_each_number_has_its_errors_by_their_names_and_two_charts(evaluation: ValueEvaluation, tmp_path: Path) -> None:
    assets = Assets()
    numbers, errors, _ = sections(record(evaluation, tmp_path, {}), evaluation, assets)
    first, second = numbers.content["rows"]
    assert [*first] == ["number", "images", "MAE", "RMSE", "R²"]
    assert first["number"] == "WBC area"
    assert (first["MAE"], second["MAE"]) == (pytest.approx(0.5), 0)
    assert [chart["title"].partition(":")[0] for chart in errors.content["charts"]] == ["WBC area"] * 2 + ["age"] * 2
    assert len(assets.charts) == 4
    assert errors.lead == ""
    assert lines(evaluation, 3) == ["WBC area 3.5, true 3", "age 13, true 13"]


def test_intervals_are_told_with_the_numbers_names_as_they_are(evaluation: ValueEvaluation, tmp_path: Path) -> None:
    decisions = {"margins": {"WBC area": 0.5, "age": 0.25}, "coverage": 0.9, "images": 12}
    _, errors, _ = sections(record(evaluation, tmp_path, decisions), evaluation, Assets())
    assert errors.lead.startswith("Intervals for predict: WBC area +0.5, age +0.25 beyond the number")
