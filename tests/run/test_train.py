"""What a run leaves behind when it fails or is stopped."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.exc import CppCompileError

from resnet_tl.checkpoint import read
from resnet_tl.errors import DataError, RecipeError, RunError, UserError
from resnet_tl.run.build import Recipe, compose
from resnet_tl.run.finished import Run
from resnet_tl.run.fit import fit
from resnet_tl.run.train import train
from resnet_tl.tracking.preemption import Preempted
from resnet_tl.tracking.run_folder import RunFolder, start_run


def failing(images: Path) -> Recipe:
    """By a stage that only the built network shows to be unknown."""
    return compose(["photos.yaml"], [("data.root", images), ("model.tuning.phases", [{"train": ["hed"]}])])


def test_a_new_run_that_fails_leaves_no_folder(here: Path, images: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'head'"):
        train(failing(images), lambda: start_run("photos", "new"))
    assert not (here / "new").exists()


def test_files_that_are_not_the_runs_stay(here: Path, images: Path) -> None:
    (here / "new").mkdir()
    (here / "new" / "notes.txt").write_text("mine")
    with pytest.raises(UserError):
        train(failing(images), lambda: RunFolder(Path("new")))
    assert [path.name for path in (here / "new").iterdir()] == ["notes.txt"]


def test_a_full_disk_before_the_first_checkpoint_leaves_no_folder(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    recipe = compose(["photos.yaml"], [("data.root", images)])
    for place in ("torch.save", "resnet_tl.run.train.write"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises((RunError, OSError), match="No space left"):
                train(recipe, lambda: start_run("photos", "new"))
        assert not (here / "new").exists()


def test_no_folder_is_made_where_data_or_network_cannot_be_built(here: Path, images: Path) -> None:
    def never() -> RunFolder:
        raise AssertionError

    with pytest.raises(UserError, match="nowhere does not exist"):
        train(compose(["photos.yaml"], [("data.root", "nowhere")]), never)
    with pytest.raises((RecipeError, RunError), match="resnet51"):
        train(compose(["photos.yaml"], [("data.root", images), ("model.backbone.name", "resnet51")]), never)


def test_a_gpu_that_is_to_decode_is_missed_before_anything_is_read(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: Recipe) -> None:
        raise AssertionError

    monkeypatch.setattr("resnet_tl.run.train.build_seeded", never)
    options = {"data.root": images, "data.decode": "gpu", "data.augment_on": "device", "trainer.accelerator": "cpu"}
    with pytest.raises(RecipeError, match=r"data\.decode: gpu needs an NVIDIA GPU, but this run is on cpu"):
        train(compose(["photos.yaml"], options.items()), lambda: start_run("photos", "new"))


class Signalled:
    """In the place of torch.compile: a signal to the whole process group also ends the compiler."""

    def __init__(self, error: Callable[[], Exception], phase: int, *, backward: bool) -> None:
        self.error, self.left, self.backward = error, phase, backward

    def __call__(self, function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        self.left -= 1
        return function if self.left else (self._then_fail if self.backward else self._fail)

    def _fail(self, *_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        raise self.error()

    def _then_fail(self, *_: Any) -> Any:
        loss = torch.zeros((), requires_grad=True).clone()
        loss.register_hook(self._fail)
        return {"loss": loss}


@pytest.mark.parametrize(
    ("compiled", "phase", "backward"),
    [("all", 1, False), ("all", 1, True), ("all", 2, False), ("all", 2, True), ("frozen", 1, False)],
)
def test_a_signal_that_ends_the_compiler_stops_the_run(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch, compiled: str, phase: int, backward: bool
) -> None:
    def error() -> Exception:
        killed = CppCompileError(["g++"], "Terminated")
        return killed if backward else BackendCompilerFailed(print, killed, None)

    stages = "all" if compiled == "all" else ["head"]
    phases = [{"train": stages, "epochs": 1}, {"train": stages}]
    tuning = {"compile": compiled, "phases": phases, "allow_untrained": True, "cache": "off"}
    recipe = compose(["photos.yaml", {"model": {"init_args": {"tuning": tuning}}}], [("data.root", images)])
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", Signalled(error, phase, backward=backward))
        with pytest.raises(Preempted) as stopped:
            train(recipe, lambda: start_run("photos", "new"))
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert (here / "new").exists() == (phase == 2), "a run without a checkpoint leaves nothing"
    if phase == 2:
        expected = "SIGTERM: stopped while step 5 was compiled; to resume: --resume new"
        assert expected in (here / "new" / "log.txt").read_text()
        assert read(here / "new").step == 3


class StoppedInValidation(Callback):
    """Stops the run in the first validation, and holds its Trainer."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        if not trainer.sanity_checking:
            self.trainer = trainer
            assert trainer.train_dataloader._iterator is not None, "its workers wait for the next epoch"
            self.stop()


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt() -> None:
    raise KeyboardInterrupt


def fail() -> None:
    raise DataError("broken.jpg")


@pytest.mark.parametrize(
    ("stop", "stopped"), [(terminate, Preempted), (interrupt, KeyboardInterrupt), (fail, DataError)]
)
def test_a_run_that_is_stopped_in_validation_leaves_no_workers(
    here: Path, images: Path, stop: Callable[[], None], stopped: type[BaseException]
) -> None:
    others, callback = set(active_children()), StoppedInValidation(stop)
    recipe = compose(["photos.yaml"], [("data.root", images), ("data.num_workers", 1)])
    with pytest.raises(stopped):
        train(recipe, lambda: start_run("photos", "new"), callbacks=[callback])
    assert set(active_children()) <= others


UNTIMED = ("best", "final", "epoch", "step", "decisions", "finished")
SOLVED = [{"train": ["head"], "solver": "lbfgs", "epochs": 1}]
PLATEAU = [{"train": "all", "until": "plateau", "monitor": "val/acc", "patience": 1}]


def end_of(run: Run) -> dict[str, Any]:
    """What the end of a run adds to it."""
    summary = run.summary
    return {
        **{key: summary.get(key) for key in UNTIMED},
        "solved": {**summary.get("solved", {}), "seconds": 0},
        "stored": read(run.path).decisions,
        "rows": (run.path / "metrics.csv").read_text(),
        "report": (run.path / "report.html").exists(),
    }


def written(run: RunFolder, data: object) -> None:
    run.report.touch()


def never(*_: object) -> Any:
    raise AssertionError("no step is left")


def signalled(*_: object) -> Any:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("place", ["decide", pytest.param("report", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("phases", "epochs"), [(SOLVED, 1), (PLATEAU, 9)])
def test_a_run_stopped_at_its_end_finishes_as_the_unbroken_one(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch, place: str, phases: object, epochs: int
) -> None:
    values = {"data.root": images, "model.tuning.phases": phases, "trainer.max_epochs": epochs}
    overrides = [*values.items(), ("model.tuning.allow_untrained", True), ("model.optimizer.lr", 1e-9)]
    whole = fit(["photos.yaml"], overrides, run="whole", finish=written)
    with monkeypatch.context() as patch:
        if place == "decide":
            patch.setattr("resnet_tl.run.decide.decide", signalled)
        with pytest.raises(Preempted) as stopped:
            fit(["photos.yaml"], overrides, run="broken", finish=signalled)
    assert stopped.value.exit_code == 143
    assert "SIGTERM: stopped outside of training; to resume: --resume broken" in Path("broken/log.txt").read_text()
    assert not Run("broken").summary["finished"]
    monkeypatch.setattr("resnet_tl.tasks.base.Task.training_step", never)
    ended = end_of(fit([], resume="broken", finish=written))
    assert ended == end_of(whole)
    assert ended["finished"]
    assert ended["report"]
    assert ("l2" in ended["solved"]) == (phases is SOLVED)
    with pytest.raises(RunError, match=f"nothing is left to do with trainer.max_epochs {epochs}"):
        fit([], resume="broken")


def test_a_run_that_ended_early_is_made_longer(here: Path, images: Path) -> None:
    values = {"data.root": images, "model.tuning.phases": PLATEAU, "trainer.max_epochs": 5, "model.optimizer.lr": 1e-9}
    run = fit(["photos.yaml"], [*values.items(), ("model.tuning.allow_untrained", True)], run="run")
    ended = run.summary["epoch"]
    assert ended < 5
    assert fit([], [("trainer.max_epochs", 6)], resume="run").summary["epoch"] == ended + 1


def test_a_signal_before_training_leaves_no_new_folder(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.run.train.loggers", signalled)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted):
        fit(["photos.yaml"], [("data.root", images)], run="run")
    assert not Path("run").exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_ended_by_max_steps_is_made_longer(here: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phases = [{"epochs": 1, "train": ["head"]}, {"train": "all"}]
    values = {"data.root": images, "model.tuning.phases": phases, "model.tuning.allow_untrained": True}
    fit(["photos.yaml"], [*values.items(), ("trainer.max_epochs", 4), ("trainer.max_steps", 5)], run="longer")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 2/2"))
    assert "phase 1" in line
    for unchanged in ([], [("trainer.max_epochs", 6)]):
        with pytest.raises(
            RunError, match=r"with trainer\.max_steps 5; to train longer: a larger --trainer\.max_steps"
        ):
            fit([], unchanged, resume="longer")
    longer = fit([], [("trainer.max_steps", 8)], resume="longer")
    assert "in epoch 3; trainer.max_steps is 8 instead of 5: the cosine schedule" in capsys.readouterr().out
    assert longer.summary["step"] == 8
    assert longer.final["step"] == 8


@pytest.mark.parametrize("limit", [{"max_steps": 5}, {"max_time": {"microseconds": 1}, "check_val_every_n_epoch": 2}])
def test_a_run_stopped_at_its_end_within_an_epoch_finishes(
    here: Path, images: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    overrides = [("data.root", images), *((f"trainer.{key}", value) for key, value in limit.items())]
    whole = fit(["photos.yaml"], overrides, run="whole")
    assert whole.best["val/acc"] > 0
    with monkeypatch.context() as patch:
        patch.setattr("resnet_tl.run.decide.decide", signalled)
        with pytest.raises(Preempted):
            fit(["photos.yaml"], overrides, run="broken")
    assert end_of(fit([], resume="broken")) == end_of(whole)
