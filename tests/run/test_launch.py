"""What torchrun and SLURM have started is what a recipe's `auto` means."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.run.build import compose
from resnet_tl.run.launch import Launched, SameStart, check_others, launched, resume_if_restarted, with_launched
from resnet_tl.run.trainer import build_trainer

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "job", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4",
    "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "TORCHELASTIC_MAX_RESTARTS": "0",
}  # fmt: skip
SLURM = {"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_process_started_by_itself_is_on_one_machine() -> None:
    assert launched() is None
    options = {"devices": "auto", "num_nodes": "auto", "precision": "32"}
    assert with_launched(options) == {"devices": "auto", "num_nodes": 1, "precision": "32"}


def test_auto_is_what_slurm_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert launched() == Launched(devices=2, nodes=3)


def test_auto_is_what_torchrun_has_started_also_under_slurm(torchrun: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        torchrun.setenv(name, value)
    assert with_launched({"devices": "auto", "num_nodes": "auto"}) == {"devices": 2, "num_nodes": 2}
    assert with_launched({"devices": 1, "num_nodes": 4}) == {"devices": 1, "num_nodes": 4}


def test_a_trainer_has_the_processes_of_torchrun(here: Path, images: Path, torchrun: pytest.MonkeyPatch) -> None:
    options = [("data.root", images), ("trainer.accelerator", "cpu"), ("trainer.strategy", "ddp")]
    recipe = compose(["photos.yaml"], [*options, ("trainer.devices", "auto"), ("trainer.num_nodes", "auto")])
    trainer = build_trainer(recipe["trainer"], callbacks=[], loggers=[])
    assert (trainer.world_size, trainer.num_devices, trainer.num_nodes, trainer.global_rank) == (4, 2, 2, 0)


def test_machines_that_nothing_has_started_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    check_others({"num_nodes": 1})
    with pytest.raises(RecipeError, match=r"^trainer.num_nodes is 2, but nothing has started this command on the"):
        check_others({"num_nodes": 2})
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    check_others({"num_nodes": 2})


def test_several_machines_started_by_torchrun_are_right(torchrun: pytest.MonkeyPatch) -> None:
    check_others({"num_nodes": 2})


def test_processes_that_torchrun_restarts_resume(torchrun: pytest.MonkeyPatch) -> None:
    assert resume_if_restarted(None, None) is None
    torchrun.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert resume_if_restarted("runs/one", None) == "auto"
    assert resume_if_restarted(None, "auto") == "auto"
    assert resume_if_restarted(None, "runs/old") == "runs/old"
    with pytest.raises(RecipeError, match=r"^torchrun --max-restarts 3 starts this command again .*: --run DIR$"):
        resume_if_restarted(None, None)


@pytest.mark.parametrize(("here", "first", "start"), [(None, 4, "resumes at step 4"), (4, None, "starts a new run")])
def test_ranks_that_start_at_different_steps_end_the_run(here: int | None, first: int | None, start: str) -> None:
    strategy = SimpleNamespace(broadcast=lambda step: first)
    trainer: Any = SimpleNamespace(strategy=strategy)
    module: Any = None
    with pytest.raises(RunError, match=f"rank 0 {start}, and another rank does not: the run's folder must lie on"):
        SameStart(here).setup(trainer, module, "fit")
    SameStart(first).setup(trainer, module, "fit")
