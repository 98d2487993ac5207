"""What a search writes and prints about its trials."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from resnet_tl.recipe.read import write
from resnet_tl.run.sweep_file import Sweep
from resnet_tl.run.sweep_results import best_of, brief, by_score, results_text, run_of, write_results

SWEEP = Sweep(
    [],
    "val/acc",
    {
        "model.lr": {"distribution": "uniform", "min": 0.0, "max": 1.0},
        "model.head.lr": {"value": 0.5},
        "data.augment": {"values": ["light", "strong"]},
    },
    trials=5,
)
SPACE = {"model.lr": FloatDistribution(0, 1), "data.augment": CategoricalDistribution(["light", "strong"])}
Make = Callable[..., optuna.Study]


@pytest.fixture
def study() -> Make:
    """Makes a study of trials (state, score, rate): complete, pruned after two epochs, failed, running."""

    def make(*trials: tuple[TrialState, float | None, float], direction: str = "maximize") -> optuna.Study:
        made = optuna.create_study(direction=direction)
        for state, score, rate in trials:
            made.add_trial(
                create_trial(
                    state=state,
                    value=score,
                    params={"model.lr": rate, "data.augment": "strong"},
                    distributions=SPACE,
                    intermediate_values={0: 0.1, 1: 0.2} if state is TrialState.PRUNED else {},
                    user_attrs={"error": "the loss is NaN"} if state is TrialState.FAIL else {},
                )
            )
        return made

    return make


DONE, CUT, FAILED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING
FIVE = [(FAILED, None, 0.9), (DONE, 0.6, 0.123456), (CUT, 0.2, 0.7), (RUNNING, None, 0.3), (DONE, 0.8, 0.25)]


def _write_recipe(folder: Path, number: int) -> None:
    run = run_of(folder, number)
    run.path.mkdir()
    recipe: Any = {"model": {"lr": 0.25, "head": {"lr": 0.5}, "depth": 18}, "data": {"augment": "strong", "root": "x"}}
    write(recipe, run.recipe)


def test_trials_are_ordered_from_the_best(study: Make) -> None:
    assert [each.number for each in by_score(study(*FIVE))] == [4, 1, 2, 0]
    assert [each.number for each in by_score(study(*FIVE, direction="minimize"))] == [1, 4, 2, 0]
    assert best_of(study(*FIVE[2:4])) is None


def test_files_hold_all_trials_and_the_values_of_the_best(study: Make, tmp_path: Path) -> None:
    _write_recipe(tmp_path, 4)
    write_results(study(*FIVE), SWEEP, tmp_path)
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [(row["trial"], row["state"], row["epochs"], row["val/acc"]) for row in rows] == [
        ("5", "complete", "0", "0.8"),
        ("2", "complete", "0", "0.6"),
        ("3", "pruned", "2", "0.2"),
        ("1", "failed", "0", ""),
    ]
    assert (rows[0]["model.head.lr"], rows[0]["data.augment"]) == ("0.5", "strong")
    assert rows[-1]["error"] == "the loss is NaN"
    best = (tmp_path / "best.yaml").read_text()
    assert best.startswith(f"# val/acc 0.8: trial 5 of {tmp_path}\n")
    assert yaml.safe_load(best) == {"model": {"lr": 0.25, "head": {"lr": 0.5}}, "data": {"augment": "strong"}}


def test_without_a_complete_trial_there_are_no_best_values(study: Make, tmp_path: Path) -> None:
    write_results(study(*FIVE[:1]), SWEEP, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]
    assert "best" not in results_text(study(*FIVE[:1]), SWEEP, tmp_path, ["photos.yaml"], [])


def test_the_table_is_short_and_ends_in_a_command(study: Make, tmp_path: Path) -> None:
    overrides = [("data.root", "my photos"), ("model.lr", "0.1")]
    lines = results_text(study(*FIVE), SWEEP, tmp_path, ["photos.yaml"], overrides).splitlines()
    assert lines[0].split() == ["trial", "val/acc", "state", "model.lr", "head.lr", "augment"]
    assert lines[2].split() == ["2", "0.6000", "complete", "0.1235", "0.5", "strong"]
    assert "pruned at 2" in lines[3]
    assert lines[5] == "trial 1: the loss is NaN"
    assert lines[-2] == f"best: {tmp_path / 'trial5'}; its values: {tmp_path / 'best.yaml'}"
    assert lines[-1] == f"  resnet-tl fit -c photos.yaml -c {tmp_path / 'best.yaml'} '--data.root=my photos'"


def test_numbers_are_brief() -> None:
    assert [brief(value) for value in (0.000123456, 3, "light")] == ["0.0001235", "3", "light"]
