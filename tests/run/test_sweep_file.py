"""A search as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.run.sweep_file import Sweep, read_sweep, sweep_of, write_sweep

LR = {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1}
SWEEP = Sweep(["-c", "a b.yaml", "--data.root=my photos"], "val/acc", {"model.optimizer.lr": LR})


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "sweep.yaml"
    write_sweep(SWEEP, path)
    content = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def test_a_file_is_read_back(tmp_path: Path) -> None:
    assert read_sweep(written(tmp_path)) == SWEEP


def test_numbers_are_numbers_to_the_yaml_of_wandb_too(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    tiny = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-3}
    write_sweep(Sweep([], "val/acc", {"model.optimizer.lr": tiny}), path)
    assert yaml.safe_load(path.read_text())["parameters"] == {"model.optimizer.lr": tiny}


def test_the_ranges_are_around_values_given_and_these_are_no_words(tmp_path: Path) -> None:
    sweep = sweep_of(["quickstart"], [("model.optimizer.lr", "0.1"), *(("trainer.max_epochs", n) for n in "23")])
    assert sweep.words == ["-c", "quickstart", "--trainer.max_epochs=3"]
    assert sweep.parameters["model.optimizer.lr"] == {"distribution": "log_uniform_values", "min": 0.01, "max": 1.0}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(RunError, match="exists already"):
        write_sweep(SWEEP, path)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"min": 1, "max": 3}, {"distribution": "int_uniform", "min": 1, "max": 3}),
        ({"min": 0, "max": 0.5}, {"distribution": "uniform", "min": 0, "max": 0.5}),
        ({"values": [[1], "a"]}, {"values": [[1], "a"]}),
        ({"value": 3}, {"value": 3}),
        ({"distribution": "categorical", "values": [1]}, {"values": [1]}),
    ],
)
def test_parameters_as_wandb_states_them(tmp_path: Path, given: Any, read: Any) -> None:
    assert read_sweep(written(tmp_path, parameters={"data.x": given})).parameters == {"data.x": read}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": "bayes"}, r"sweep.yaml:\d+: unknown key 'methods' of a sweep; did you mean 'method'\?"),
        ({"method": "grid"}, r"sweep.yaml:\d+: method must be one of bayes, random, got 'grid'"),
        ({"metric": {"goal": "maximize"}}, r"metric must be {name: val/acc, goal: maximize}, got"),
        ({"metric": {"name": "val/acc", "goal": "max"}}, "metric must be"),
        ({"run_cap": 0}, "run_cap must be int >= 1"),
        ({"command": ["python", "train.py"]}, r"command must be \[\${env}, \${program}, fit, -c, RECIPE, \${args}\]"),
        ({"parameters": None}, "parameters must name the keys to draw"),
        ({"parameters": {"data.x": 3}}, r"parameters.data.x: expected {min: 1, max: 2} or {values: \[1, 2\]}"),
        ({"parameters": {"data.x": {"min": 1}}}, "parameters.data.x: expected"),
        ({"parameters": {"data.x": {"min": 2, "max": 1}}}, "parameters.data.x: expected"),
        ({"parameters": {"data.x": {"parameters": {}}}}, "parameters.data.x: expected"),
        (
            {"parameters": {"data.x": {"distribution": "normal", "min": 1, "max": 2}}},
            "data.x.distribution must be one of uniform, log_uniform_values, int_uniform, got 'normal'",
        ),
        ({"parameters": {"data.x": {"distribution": "int_uniform", "min": 1, "max": 2.5}}}, "needs whole numbers"),
        ({"parameters": {"data.x": {"distribution": "log_uniform_values", "min": 0, "max": 2}}}, "needs min > 0"),
    ],
)
def test_what_is_wrong_is_a_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_sweep(written(tmp_path, **changes))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file; `resnet-tl sweep-file -c RECIPE` writes one"):
        read_sweep(tmp_path / "sweep.yaml")
