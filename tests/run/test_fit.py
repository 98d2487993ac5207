"""`resnet_tl.fit` and what it returns, without the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.cli.main import main
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.models.heads.classification import MLPHead
from resnet_tl.tuning.plan import Phase
from tests.cli.conftest import RECIPE


def test_a_fit_from_python_is_the_commands(here: Path, images: Path) -> None:
    done = resnet_tl.fit("photos.yaml", run="python", **{"data.root": images, "model.optimizer.lr": np.float64(0.03)})
    line = f"fit -c photos.yaml --data.root {images} --model.optimizer.lr 0.03 --run command"
    assert main(line.split()) == 0
    assert done.path == Path("python")
    python, command = (
        torch.load(here / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("python", "command")
    )
    assert [name for name, value in python.items() if not torch.equal(value, command[name])] == []
    for name in ("recipe.yaml", "metrics.csv"):
        assert (here / "python" / name).read_bytes() == (here / "command" / name).read_bytes()


def test_a_run_has_its_metrics_and_its_predictor(here: Path, images: Path) -> None:
    run = resnet_tl.fit("photos.yaml", **{"data.root": images, "trainer.max_epochs": 3})
    assert run.path.parent == Path("runs/photos")
    assert run.final["epoch"] == 2
    assert run.best["val/acc"] >= run.final["val/acc"]
    assert run.summary["finished"]
    (prediction,) = run.predictor(batch_size=1).predict(images / "val" / "red" / "0.png")
    assert prediction.classes[0] in ("blue", "red")
    result = resnet_tl.evaluate(run, **{"data.num_workers": 0})
    assert result["metrics"]["val/acc"] == pytest.approx(run.best["val/acc"], abs=1e-6)


def test_a_recipe_may_be_python_data_and_so_may_overlays_and_values(here: Path, images: Path) -> None:
    recipe = yaml.safe_load(RECIPE)
    recipe["data"]["init_args"]["root"] = images
    run = resnet_tl.fit(
        recipe,
        overlays=[{"trainer": {"limit_train_batches": 1}}, {"trainer": {"limit_train_batches": 2}}],
        **{
            "trainer.max_epochs": 1,
            "model.head": MLPHead,
            "model.head.hidden": 8,
            "model.tuning.phases": [Phase()],
            "tracking": {"checkpoint_every": None},
        },
    )
    assert run.path.parent == Path("runs/recipe")
    saved = checkpoint.read(run.path)
    assert saved.step == 2
    assert saved.recipe["model"]["init_args"]["head"]["class_path"].endswith(".MLPHead")
    assert saved.recipe["model"]["init_args"]["head"]["init_args"]["hidden"] == 8
    assert saved.recipe["tracking"]["checkpoint_every"] is None


def test_a_stopped_run_resumes_by_its_folder_or_by_its_recipe(here: Path, images: Path) -> None:
    values = {"data.root": images, "trainer.max_epochs": 2}
    first = resnet_tl.fit("photos.yaml", **values)
    longer = resnet_tl.fit(resume=first.path, **{"trainer.max_epochs": 3})
    assert (longer.path, longer.final["epoch"]) == (first.path, 2)
    again = resnet_tl.fit("photos.yaml", resume="auto", **{**values, "trainer.max_epochs": 4})
    assert (again.path, again.final["epoch"]) == (first.path, 3)
    new = resnet_tl.fit("photos.yaml", resume="auto", **{**values, "model.optimizer.lr": 0.01})
    assert new.path != first.path


def test_a_longer_run_that_was_stopped_resumes_by_its_folder_alone(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    values = {"data.root": images, "trainer.max_epochs": 1}
    run = resnet_tl.fit("photos.yaml", **values)
    with monkeypatch.context() as patch:
        patch.setattr("lightning.pytorch.Trainer.fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            resnet_tl.fit(resume=run.path, **{"trainer.max_epochs": 2})
    assert not run.summary["finished"]
    assert resnet_tl.fit(resume=run.path).final["epoch"] == 1
    assert yaml.safe_load((run.path / "recipe.yaml").read_text())["trainer"]["max_epochs"] == 2


def test_mistakes_are_errors_of_one_sentence(here: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match=r"^fit needs a recipe"):
        resnet_tl.fit()
    with pytest.raises(RecipeError, match=r"data\.batch_sise: unknown option; did you mean --data\.batch_size\?"):
        resnet_tl.fit("photos.yaml", **{"data.root": images, "data.batch_sise": 3})
    with pytest.raises(RecipeError, match=r"data\.batch_size must be int in .*, got 'many'"):
        resnet_tl.fit("photos.yaml", **{"data.root": images, "data.batch_size": "many"})
    with pytest.raises(RecipeError, match="the recipe: a key must be text, got 1"):
        resnet_tl.fit({"model": {1: 2}})
    with pytest.raises(RecipeError, match="no recipe 'overlays/bf61'"):
        resnet_tl.fit("photos.yaml", overlays="overlays/bf61")
    with pytest.raises(RunError, match="nowhere: no run to resume"):
        resnet_tl.fit(resume="nowhere")
    assert not (here / "runs").exists()


STOP = """
import os, signal
from lightning.pytorch import Callback

class Stop(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
"""
SCRIPT = """
import os
import resnet_tl
from resnet_tl.tracking.preemption import Preempted
from stop import Stop

try:
    resnet_tl.fit("photos.yaml", run="run", **{"data.root": os.environ["IMAGES"], "trainer.callbacks": [Stop]})
except Preempted as stopped:
    assert stopped.exit_code == 143
    assert "GOMP_SPINCOUNT" not in os.environ
    raise
"""


def test_a_signal_saves_the_run_and_ends_a_script_with_the_commands_exit_code(here: Path, images: Path) -> None:
    """The lines are printed where nothing else is set up for them; the process keeps its settings."""
    (here / "stop.py").write_text(STOP)
    (here / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    script = [sys.executable, "script.py"]
    done = subprocess.run(
        script, env={**environment, "IMAGES": str(images)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 143, done.stderr
    assert "SIGTERM: saved at step" in done.stdout
    assert "global batch: 4" in done.stdout
    assert "Traceback" not in done.stderr
    assert (here / "run" / "checkpoints" / "last.ckpt").is_file()
    assert main(["fit", "--resume", "run", "--trust-code"]) == 0
