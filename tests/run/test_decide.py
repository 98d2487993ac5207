"""What validation decides is in best.ckpt when a run is trained, and predict applies it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import resnet_tl as package
from resnet_tl import checkpoint
from resnet_tl.checkpoint import store_decisions
from resnet_tl.errors import WeightsError
from resnet_tl.metrics.box_matches import match
from resnet_tl.metrics.box_scores import best_scores
from resnet_tl.metrics.temperature import fit_temperature
from resnet_tl.run.decide import decide
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation
from resnet_tl.tensor_file import load_safely
from resnet_tl.tracking.predictions import load_evaluation
from tests.cli.conftest import RECIPE
from tests.cli.test_detection import RECIPE as DETECTOR
from tests.cli.test_detection import SAMPLES
from tests.metrics.box_sets import box_set


def fit(images: Path, run: str, **options: object) -> Path:
    return package.fit(
        yaml.safe_load(RECIPE), run=run, **{"data.root": images, "tracking.report": False, **options}
    ).path


def test_predict_applies_what_the_best_epoch_decided(here: Path, images: Path) -> None:
    run = fit(images, "run")
    decided = checkpoint.read(run).decisions
    evaluation = load_evaluation(run / "predictions.npz")
    assert isinstance(evaluation, ClassEvaluation)
    assert decided.temperature == fit_temperature(evaluation)
    predictor = package.load(run)
    found = np.stack(
        [each.probabilities for each in predictor.predict([evaluation.path(n) for n in range(len(evaluation))])]
    )
    expected = decided.calibrated(evaluation.probabilities, multi_label=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - evaluation.probabilities).max() > 1e-3
    summary = json.loads((run / "summary.json").read_text())["decisions"]
    assert summary["temperature"] == decided.temperature
    assert summary["ece"] == pytest.approx(json.loads((run / "summary.json").read_text())["best"]["val/ece"], abs=1e-6)
    assert summary["images"] == len(evaluation) == 8
    log = (run / "log.txt").read_text()
    assert "calibrated for predict: temperature" in log
    assert "expected calibration error" not in log
    few = "predict --unsure will not work with this run: it needs at least 20 validation images to know what is usual"
    assert f"{few}, and there are 8" in log
    with pytest.raises(WeightsError, match=r"tracking\.decisions: true and at least 20 validation images"):
        predictor.predict(evaluation.path(0), unsure=True)


def test_a_longer_run_decides_again_and_resumes_as_one_without(here: Path, images: Path) -> None:
    runs = {name: fit(images, name, **{"tracking.decisions": name == "with"}) for name in ("with", "without")}
    assert checkpoint.read(runs["without"]).decisions == Decisions()
    assert "decisions" not in json.loads((runs["without"] / "summary.json").read_text())
    last, other = (load_safely(run / "checkpoints" / "last.ckpt") for run in runs.values())
    assert "decisions" not in last["resnet_tl"]
    assert set(last) == set(other)
    for run in runs.values():
        package.fit(resume=run, **{"trainer.max_epochs": 3})
    weights = [checkpoint.read(run / "checkpoints" / "last.ckpt").state_dict for run in runs.values()]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert (runs["with"] / "metrics.csv").read_text() == (runs["without"] / "metrics.csv").read_text()
    evaluation = load_evaluation(runs["with"] / "predictions.npz")
    assert isinstance(evaluation, ClassEvaluation)
    assert checkpoint.read(runs["with"]).decisions.temperature == fit_temperature(evaluation)


def test_the_scores_of_a_detector_are_those_of_the_best_f1() -> None:
    evaluation = box_set(images=40)
    decided, numbers = decide(evaluation)
    scores = best_scores(evaluation, match(evaluation, [0.5])).tolist()
    assert decided == Decisions(box_scores=scores)
    assert numbers == {"box_scores": dict(zip(evaluation.classes, scores, strict=True))}
    assert decide(replace(evaluation, boxes=evaluation.boxes + 10_000)) == (Decisions(), {}), "no hit, no best F1"


def test_validate_and_predict_use_the_scores_of_the_checkpoint(resnet_tl: Callable[..., Any], here: Path) -> None:
    (here / "objects.yaml").write_text(DETECTOR)
    short = "--trainer.limit_train_batches 1 --tracking.report false"
    assert resnet_tl(f"fit -c objects.yaml --data.root {{}} --run run {short}", SAMPLES).code == 0
    images = SAMPLES / "images" / "val_*.png"
    predictor = package.load(here / "run")
    everything, names = predictor.predict(str(images), score=0), predictor.classes
    found = np.concatenate([each.scores for each in everything])
    decided = dict.fromkeys(names, float(np.median(found))) | {names[0]: 1.0}
    store_decisions(here / "run/checkpoints/best.ckpt", Decisions(box_scores=list(decided.values())))
    kept = [
        (Path(each.path or "").name, name, f"{score:.6f}")
        for each in everything
        for name, score in zip(each.classes, each.scores, strict=True)
        if score >= np.float32(decided[name])
    ]
    assert 0 < len(kept) < len(found)
    done = resnet_tl("predict run {} --out found --draw", images)
    with (here / "found/objects.csv").open() as file:
        rows = [(Path(row["path"]).name, row["label"], row["score"]) for row in csv.DictReader(file)]
    assert rows == kept
    data_set = json.loads((here / "found/objects.json").read_text())
    assert len(data_set["annotations"]) == len(kept)
    assert data_set["info"]["scores"] == {name: round(score, 6) for name, score in decided.items()}
    assert len(json.loads((here / "found/results.json").read_text())) == len(found), "mAP counts them all"
    first, *_ = done.err.splitlines()
    assert first.startswith(f"scores from 1.00 ({names[0]}), ")
    assert "scores from" not in resnet_tl("predict run {} --out plain.csv --score 0", images).err
    assert len((here / "plain.csv").read_text().splitlines()) == 1 + len(found)
    assert resnet_tl("validate run --tables tables").code == 0
    with (here / "tables/per_class.csv").open() as file:
        assert {row["class"]: float(row["threshold"]) for row in csv.DictReader(file)} == pytest.approx(decided)
