"""Regression end to end: it learns a number, resumes exactly, trains on cached features, predicts with intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning import Callback

import resnet_tl
from resnet_tl.checkpoint import read
from resnet_tl.cli.main import main
from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.explain.explain import explain
from resnet_tl.export.export import export
from resnet_tl.prediction.regression import ValuePredictor
from resnet_tl.run.build import Recipe, compose
from resnet_tl.run.plan import plan_text
from resnet_tl.run.train import train
from resnet_tl.serve.answers import answer
from resnet_tl.serve.batching import Predicted
from resnet_tl.tracking.run_folder import RunFolder, start_run

PHASES = [{"epochs": 2, "train": ["head"]}, {"train": "all"}]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of noise; `level`, in hundreds, is how bright they are, `red` how much more so their red."""
    folder, rng = tmp_path_factory.mktemp("levels"), np.random.default_rng(0)
    lines = ["path,level,red,split"]
    for number in range(60):
        level, red = rng.integers(30, 180), rng.integers(0, 60)
        image = rng.integers(0, 15, (18, 18, 3)) + level
        image[..., 2] += red
        cv2.imwrite(str(folder / f"{number}.png"), image.astype(np.uint8))
        lines.append(f"{number}.png,{100 * level},{red / 100},{'val' if number % 3 == 0 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


def recipe(table: Path, **values: Any) -> Recipe:
    base = {
        "model": {
            "class_path": "Regression",
            "init_args": {
                "backbone": {"name": "resnet_tiny"},
                "head": {"class_path": "RegressionHead", "init_args": {"loss": "quantiles", "coverage": 0.8}},
                "tuning": {"phases": PHASES, "ema": 0.8, "allow_untrained": True},
                "optimizer": {"name": "adamw", "lr": 0.01},
            },
        },
        "data": {
            "class_path": "RegressionTable",
            "init_args": {
                "csv": str(table),
                "value_columns": ["level", "red"],
                "image_size": 16,
                "crop": 1.0,
                "batch_size": 8,
                "num_workers": 0,
            },
        },
        "trainer": {"max_epochs": 4, "precision": "32-true", "accelerator": "cpu"},
    }
    return compose([base], list(values.items()))


class Stop(Callback):
    """Ends a run in the middle of its third epoch, with momentum and an average."""

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 12:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def unbroken(table: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(recipe(table), lambda: start_run("levels", tmp_path_factory.mktemp("runs") / "unbroken"))


def test_a_stopped_run_resumes_bit_for_bit(table: Path, tmp_path: Path, unbroken: RunFolder) -> None:
    ours = recipe(table, **{"tracking.checkpoint_every": 11})
    broken = RunFolder(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(ours, lambda: start_run("levels", broken.path), callbacks=[Stop()])
    train(ours, lambda: broken, broken.last)
    assert broken.metrics.read_text() == unbroken.metrics.read_text()
    one, other = (torch.load(run.last, weights_only=True) for run in (broken, unbroken))
    for part in ("state_dict", "raw_state_dict"):
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)
    numbers = [json.loads(run.summary.read_text()) for run in (broken, unbroken)]
    assert numbers[0]["best"] == numbers[1]["best"]
    assert numbers[0]["decisions"] == numbers[1]["decisions"]


def test_the_best_epoch_has_the_lowest_error(unbroken: RunFolder) -> None:
    lines = [line.split(",") for line in unbroken.metrics.read_text().splitlines()]
    column = lines[0].index("val/mae")
    errors = [float(line[column]) for line in lines[1:] if line[column]]
    assert len(errors) == 4
    summary = json.loads(unbroken.summary.read_text())
    assert summary["best"]["val/mae"] == pytest.approx(min(errors))
    assert read(unbroken.path).epoch == int(np.argmin(errors))


def test_the_scale_is_that_of_the_training_images(unbroken: RunFolder, table: Path) -> None:
    values = np.loadtxt(table, delimiter=",", skiprows=1, usecols=(1, 2))[np.arange(60) % 3 > 0]
    state = read(unbroken.path).state_dict
    assert state["head.mean"].numpy() == pytest.approx(values.mean(0), rel=1e-6)
    assert state["head.sd"].numpy() == pytest.approx(values.std(0), rel=1e-6)


def test_a_prediction_has_units_and_intervals_that_hold_the_validation_images(unbroken: RunFolder, table: Path) -> None:
    predictor = resnet_tl.load(str(unbroken.path))
    assert isinstance(predictor, ValuePredictor)
    paths = [table.parent / f"{number}.png" for number in range(0, 60, 3)]
    predictions = predictor.predict(paths)
    lines = dict(line.split(",", 1) for line in table.read_text().splitlines())
    truth = [dict(zip(("level", "red"), map(float, lines[path.name].split(",")[:2]), strict=True)) for path in paths]
    for name in ("level", "red"):
        inside = 0
        for prediction, true in zip(predictions, truth, strict=True):
            assert prediction.intervals is not None
            low, high = prediction.intervals[name]
            assert low <= prediction.values[name] <= high
            inside += low - 1e-4 * abs(low) <= true[name] <= high + 1e-4 * abs(high)
        assert inside >= 17  # (20 + 1) * 0.8 of 20
    evaluated = resnet_tl.evaluate(str(unbroken.path))
    errors = [
        [abs(each.values[name] - true[name]) for name in true] for each, true in zip(predictions, truth, strict=True)
    ]
    assert [row["mae"] for row in evaluated["per_class"]] == pytest.approx(np.mean(errors, 0).tolist(), rel=1e-4)
    assert evaluated["headline"] == "mae"


@pytest.mark.parametrize(
    "loss", ["huber", pytest.param("mse", marks=pytest.mark.slow), pytest.param("quantiles", marks=pytest.mark.slow)]
)
def test_it_learns_a_number(table: Path, tmp_path: Path, loss: str) -> None:
    values = {
        "model.head.loss": loss,
        "model.tuning.phases": [{"train": "all"}],
        "model.tuning.ema": None,
        "trainer.max_epochs": 10,
        "data.augment": "none",
    }
    run = train(recipe(table, **values), lambda: start_run("levels", tmp_path / loss))
    assert json.loads(run.summary.read_text())["best"]["val/r2"] > 0.5


def test_cached_features_train_the_same(table: Path, tmp_path: Path) -> None:
    values = {
        "model.tuning.phases": [{"train": ["head"]}],
        "data.augment": "none",
        "data.cache_dir": str(tmp_path / "cache"),
        "trainer.max_epochs": 2,
    }
    losses = []
    for cache in ("off", "on"):
        ours = recipe(table, **values, **{"model.tuning.cache": cache})
        run = train(ours, lambda cache=cache: start_run("levels", tmp_path / cache))
        losses.append(json.loads(run.summary.read_text())["final"]["val/loss"])
    assert list((tmp_path / "cache").rglob("*.features"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_number_that_is_always_the_same_is_refused(table: Path, tmp_path: Path) -> None:
    same = table.with_name("same.csv")
    same.write_text("path,age\n" + "".join(f"{number}.png,7\n" for number in range(10)))
    with pytest.raises(DataError, match=r"same.csv: 'age' is 7 in all 8 training images; expected numbers that differ"):
        train(recipe(same, **{"data.value_columns": ["age"]}), lambda: start_run("levels", tmp_path / "run"))
    with pytest.raises(DataError, match="'age' is 7 in all 8 training images"):
        plan_text([recipe(same, **{"data.value_columns": ["age"]})], [])


def test_options_of_other_tasks_and_hostile_margins_are_refused(unbroken: RunFolder, tmp_path: Path) -> None:
    predictor = resnet_tl.load(str(unbroken.path))
    with pytest.raises(RecipeError, match="top applies to classification, but this network does regression"):
        predictor.options(top=3)
    content = torch.load(unbroken.checkpoints / "best.ckpt", weights_only=True)
    assert len(content["resnet_tl"]["decisions"]["margins"]) == 2
    for wrong in ([1.0], [1.0, float("inf")]):
        content["resnet_tl"]["decisions"]["margins"] = wrong
        torch.save(content, tmp_path / "wrong.ckpt")
        with pytest.raises(WeightsError, match="margins"):
            resnet_tl.load(str(tmp_path / "wrong.ckpt"))


def test_the_command_writes_numbers_and_intervals(
    unbroken: RunFolder, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(table.parent / "1*.png")
    for name in ("numbers.csv", "numbers.json"):
        assert main(["predict", str(unbroken.path), images, "--out", str(tmp_path / name)]) == 0
    lines = (tmp_path / "numbers.csv").read_text().splitlines()
    assert lines[0] == "path,level,level_low,level_high,red,red_low,red_high"
    entries = json.loads((tmp_path / "numbers.json").read_text())
    assert len(entries) == len(lines) - 1 == 11
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert float(first["red"]) == pytest.approx(entries[0]["values"]["red"], rel=1e-5)
    assert float(first["level_high"]) == pytest.approx(entries[0]["intervals"]["level"][1], rel=1e-5)
    assert main(["predict", str(unbroken.path), images, "--draw"]) == 2
    assert "--draw applies to detection and classification, but this network does regression" in capsys.readouterr().err


def test_reports_checks_and_statistics_know_numbers(
    unbroken: RunFolder, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("altair")
    assert main(["report", str(unbroken.path)]) == 0
    page = unbroken.report.read_text()
    levels = [float(line.split(",")[1]) for line in table.read_text().splitlines()[1:]]
    trained = [level for number, level in enumerate(levels) if number % 3]
    assert f"{min(trained):.4g} to {max(trained):.4g}, median {np.median(trained):.4g} (train)" in page
    assert "by class and split" not in page
    for text in ("Largest errors", "predicted and true", "2 numbers", "MAE"):
        assert text in page
    assert '"pictures":{"' in page
    recipe_file = str(unbroken.recipe)
    for action in ("check", "stats"):
        assert main(["data", action, "-c", recipe_file]) in (0, 1)
    printed = capsys.readouterr().out
    assert "level: " in printed
    assert ", median " in printed


@pytest.mark.parametrize("form", ["onnx", pytest.param("pt2", marks=pytest.mark.slow)])
def test_an_export_predicts_the_same_numbers(form: str, unbroken: RunFolder, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if form == "onnx" else "torch")
    done = export(unbroken.path, tmp_path / f"model.{form}")
    assert done.agreement.holds
    ours = resnet_tl.load(str(unbroken.path)).predict(table.parent / "1.png")[0]
    theirs = resnet_tl.load(str(done.path), trust_code=True).predict(table.parent / "1.png")[0]
    assert theirs.values == pytest.approx(ours.values, rel=1e-3)
    assert theirs.intervals["red"] == pytest.approx(ours.intervals["red"], rel=1e-2, abs=1e-2)
    one, other = (resnet_tl.evaluate(str(each), trust_code=True) for each in (unbroken.path, done.path))
    assert other["metrics"]["val/mae"] == pytest.approx(one["metrics"]["val/mae"], rel=1e-3)


def test_explanations_and_embeddings_are_of_the_network(unbroken: RunFolder, table: Path) -> None:
    pytest.importorskip("captum")
    predictor = resnet_tl.load(str(unbroken.path))
    (explanation,) = explain(predictor, [str(table.parent / "1.png")], label="red")
    assert explanation.label == "red"
    assert explanation.map.shape == (18, 18)
    assert answer(Predicted(predictor.predict(table.parent / "1.png")[0], (18, 18)), predictor, outlines=False)[
        "values"
    ].keys() == {"level", "red"}


def test_what_is_for_other_tasks_is_refused_in_one_sentence(
    unbroken: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["publish", str(unbroken.path), str(tmp_path / "new")], "for which the hub has no task"),
        (["data", "suspects", str(unbroken.path)], "not for wrong numbers"),
        (["export", str(unbroken.path), "--to", "int8"], "int8 measures what it costs in points"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_recipe_without_a_class_of_data_reads_a_table(table: Path) -> None:
    for place in ("csv", "root"):
        found = compose([{"model": "Regression", "data": {place: str(table), "value_columns": ["red"]}}], [])
        assert found["data"]["class_path"].endswith("RegressionTable")
        assert found["data"]["init_args"]["csv"] == str(table)
