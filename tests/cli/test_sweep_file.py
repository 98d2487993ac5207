"""`resnet-tl sweep-file`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


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


def test_it_needs_a_recipe(resnet_tl: Callable[..., Any], here: Path) -> None:
    done = resnet_tl("sweep-file")
    assert done.code == 2
    assert "sweep-file needs a recipe: -c RECIPE" in done.err
