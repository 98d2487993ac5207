"""What validation decides is in best.ckpt when a run is trained, and predict applies it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.metrics.temperature import fit_temperature
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.tensor_file import load_safely
from resnet_tl.tracking.predictions import load_evaluation
from tests.cli.conftest import RECIPE


def fit(images: Path, run: str, **options: object) -> Path:
    return resnet_tl.fit(
        yaml.safe_load(RECIPE), run=run, **{"data.root": images, "tracking.report": False, **options}
    ).path


def test_predict_applies_what_the_best_epoch_decided(here: Path, images: Path) -> None:
    run = fit(images, "run")
    decided = checkpoint.read(run).decisions
    evaluation = load_evaluation(run / "predictions.npz")
    assert isinstance(evaluation, ClassEvaluation)
    assert decided.temperature == fit_temperature(evaluation)
    predictor = resnet_tl.load(run)
    found = np.stack(
        [each.probabilities for each in predictor.predict([evaluation.path(n) for n in range(len(evaluation))])]
    )
    expected = decided.calibrated(evaluation.probabilities, multi_label=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - evaluation.probabilities).max() > 1e-3
    summary = json.loads((run / "summary.json").read_text())["decisions"]
    assert summary["temperature"] == decided.temperature
    assert summary["ece"] == pytest.approx(json.loads((run / "summary.json").read_text())["best"]["val/ece"], abs=1e-6)
    assert "calibrated for predict: temperature" in (run / "log.txt").read_text()


def test_a_longer_run_decides_again_and_resumes_as_one_without(here: Path, images: Path) -> None:
    runs = {name: fit(images, name, **{"tracking.decisions": name == "with"}) for name in ("with", "without")}
    assert checkpoint.read(runs["without"]).decisions == Decisions()
    assert "decisions" not in json.loads((runs["without"] / "summary.json").read_text())
    last, other = (load_safely(run / "checkpoints" / "last.ckpt") for run in runs.values())
    assert "decisions" not in last["resnet_tl"]
    assert set(last) == set(other)
    for run in runs.values():
        resnet_tl.fit(resume=run, **{"trainer.max_epochs": 3})
    weights = [checkpoint.read(run / "checkpoints" / "last.ckpt").state_dict for run in runs.values()]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert (runs["with"] / "metrics.csv").read_text() == (runs["without"] / "metrics.csv").read_text()
    evaluation = load_evaluation(runs["with"] / "predictions.npz")
    assert isinstance(evaluation, ClassEvaluation)
    assert checkpoint.read(runs["with"]).decisions.temperature == fit_temperature(evaluation)
