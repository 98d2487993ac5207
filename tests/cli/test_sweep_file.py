"""`resnet-tl sweep-file`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from resnet_tl.cli.command import split
from resnet_tl.run.build import compose
from resnet_tl.run.sweep_space import value_at


def test_it_writes_a_sweep_whose_command_names_recipe_and_values(
    resnet_tl: Callable[..., Any], here: Path, images: Path
) -> None:
    done = resnet_tl("sweep-file -c photos.yaml --data.root {} --model.optimizer.lr 0.1", images)
    assert (done.code, done.err) == (0, "")
    content = yaml.safe_load((here / "sweep.yaml").read_text())
    assert content["command"] == [
        "${env}", "${program}", "fit", "-c", "photos.yaml", f"--data.root={images}", "--tracking.wandb=true", "${args}"
    ]  # fmt: skip
    assert content["metric"] == {"name": "val/acc", "goal": "maximize"}
    assert content["parameters"]["model.optimizer.lr"] == {"distribution": "log_uniform_values", "min": 0.01, "max": 1}
    again = resnet_tl("sweep-file -c photos.yaml --data.root {}", images)
    assert (again.code, again.err) == (
        2, "error: sweep.yaml: exists already, and nothing is overwritten; name another file: --out FILE\n"
    )  # fmt: skip


def test_a_trial_of_wandbs_agent_trains_by_the_values_that_are_drawn(
    resnet_tl: Callable[..., Any], here: Path, images: Path
) -> None:
    """The agent's own code puts them into the command."""
    assert resnet_tl("sweep-file -c quickstart --data.root {}", images).code == 0
    content = yaml.safe_load((here / "sweep.yaml").read_text())
    values = ({key: each.get("max", "strong") for key, each in content["parameters"].items()}, {"data.augment": "none"})
    for drawn in values:
        args = create_sweep_command_args({"args": {key: {"value": value} for key, value in drawn.items()}})["args"]
        words = [*content["command"][2:-1], *args]
        command = split(words)
        assert command.rest == ["fit"]
        recipe = compose(command.configs, command.overrides, training=True)
        assert {key: value_at(recipe, key) for key in drawn} == drawn
        assert recipe["tracking"]["wandb"]


def test_it_needs_a_recipe(resnet_tl: Callable[..., Any], here: Path) -> None:
    done = resnet_tl("sweep-file")
    assert done.code == 2
    assert "sweep-file needs a recipe: -c RECIPE" in done.err
