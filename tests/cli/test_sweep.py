"""`resnet-tl sweep`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.run.build import compose
from resnet_tl.tracking.preemption import Preempted

FILE = """\
method: random
metric: {{name: val/loss, goal: minimize}}
run_cap: 2
parameters:
  model.optimizer.lr: {{distribution: log_uniform_values, min: 0.001, max: 0.1}}
command: ["${{env}}", resnet-tl, fit, -c, photos.yaml, "--data.root={root}", --trainer.max_epochs=1, "${{args}}"]
"""


@pytest.fixture
def file(here: Path, images: Path) -> Path:
    (here / "sweep.yaml").write_text(FILE.format(root=images))
    return here / "sweep.yaml"


def test_trials_are_runs_and_the_best_values_an_overlay(
    resnet_tl: Callable[..., Any], file: Path, images: Path
) -> None:
    done = resnet_tl("sweep sweep.yaml --study study")
    assert done.code == 0, done.err
    study = file.parent / "study"
    assert all((study / f"trial{number}" / "checkpoints" / "best.ckpt").is_file() for number in (1, 2))
    best = done.out.partition("best: ")[2].partition(";")[0]
    options = [("data.root", images), ("trainer.devices", 1), ("trainer.max_epochs", 1)]
    overlaid = compose(["photos.yaml", study / "best.yaml"], options)
    trained = compose([Path(best) / "recipe.yaml"])
    assert overlaid["model"] == trained["model"]
    assert "  resnet-tl fit -c photos.yaml -c study/best.yaml --data.root=" in done.out
    head, first, *_ = (study / "trials.csv").read_text().splitlines()
    assert head == "trial,state,epochs,val/loss,model.optimizer.lr,error"
    assert first.split(",")[:3] == [best[-1], "complete", "1"]
    assert not (study / "trial1" / "wandb").exists()

    files = {path: path.stat().st_mtime_ns for path in study.rglob("*.ckpt")}
    more = resnet_tl("sweep --study study --trials 3")
    assert more.code == 0, more.err
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert (study / "trial3").is_dir()


def test_another_search_does_not_go_on_in_a_folder(resnet_tl: Callable[..., Any], file: Path, here: Path) -> None:
    (here / "study").mkdir()
    (here / "study" / "sweep.yaml").write_text(file.read_text().replace("0.1}", "0.5}"))
    done = resnet_tl("sweep sweep.yaml --study study")
    assert done.code == 2
    assert "--study study: searches by study/sweep.yaml, which differs from what is asked for now" in done.err
    (here / "study" / "sweep.yaml").rename(here / "study" / "notes.yaml")
    assert "the folder is not empty and holds no study" in resnet_tl("sweep sweep.yaml --study study").err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep", "sweep needs a recipe or a file: resnet-tl sweep -c RECIPE, resnet-tl sweep SWEEP.yaml"),
        ("sweep sweep.yaml -c photos.yaml", "sweep.yaml names its recipe, so -c photos.yaml cannot be given with it"),
        ("sweep sweeps.yaml", "sweeps.yaml: no such file"),
        ("sweep -c photos.yaml --trials 0", "--trials must be int >= 1, got 0"),
        ("sweep --study nowhere", "nowhere/sweep.yaml: no such file"),
        ("sweep --study nowhere", "error: --study nowhere: no search is there"),
        ("sweep sweep.yaml --study photos.yaml", "--study photos.yaml: a file is in the way, expected a folder"),
        ("sweep sweep.yaml --study photos.yaml/x", "--study photos.yaml/x: a file is in the way, expected a folder"),
        (
            "sweep sweep.yaml --model.optimizer.lr 0.5",
            "error: --model.optimizer.lr: sweep.yaml draws this key in each trial: leave out the option, or the key",
        ),
        ("sweep sweep.yaml --trainer.max_epochs many", "error: --trainer.max_epochs must be"),
        ("sweep sweep.yaml --data.root nowhere", "nowhere"),
    ],
)
def test_mistakes_leave_nothing(resnet_tl: Callable[..., Any], file: Path, here: Path, line: str, message: str) -> None:
    done = resnet_tl(line)
    assert done.code == 2
    assert message in done.err
    assert sorted(path.name for path in here.iterdir()) == ["photos.yaml", "sweep.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model.optimizer.lr", "model.optimizer.lrr", "sweep.yaml: --model.optimizer.lrr: unknown option; did you"),
        ("max_epochs=1", "max_epochs=many", "sweep.yaml: --trainer.max_epochs must be"),
        ("val/loss", "val/foo", "sweep.yaml: metric.name of the sweep: no 'val/foo' is logged; expected one of val/"),
    ],
)
def test_faults_of_a_file_name_it(resnet_tl: Callable[..., Any], file: Path, old: str, new: str, message: str) -> None:
    file.write_text(file.read_text().replace(old, new))
    done = resnet_tl("sweep sweep.yaml --study study")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(f"error: {message}")
    assert not (file.parent / "study").exists()


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (lambda: Preempted(143), 143)])
def test_a_stopped_search_names_the_command_that_resumes_it(
    resnet_tl: Callable[..., Any], file: Path, monkeypatch: pytest.MonkeyPatch, stop: Any, code: int
) -> None:
    def stopped(*args: Any, **options: Any) -> None:
        raise stop()

    monkeypatch.setattr("resnet_tl.run.sweep.train", stopped)
    done = resnet_tl("sweep sweep.yaml --study study")
    assert done.code == code
    assert done.out.splitlines()[-1] == "to resume: resnet-tl sweep --study study"


def test_it_says_how_to_install_what_it_needs(
    resnet_tl: Callable[..., Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    assert resnet_tl("sweep sweep.yaml").err == "error: a sweep needs optuna: pip install 'resnet-tl[sweep]'\n"


@pytest.mark.slow
def test_a_killed_search_resumes_as_if_it_had_not_been(
    resnet_tl: Callable[..., Any], process: Callable[..., BaseProcess], file: Path, here: Path
) -> None:
    """SIGKILL in the second trial: trials, values and scores are those of an unbroken search."""
    options = "--data.batch_size 2 --trainer.max_epochs 4 --trials 3"
    assert resnet_tl(f"sweep sweep.yaml --study unbroken {options}").code == 0
    killed = process(f"sweep sweep.yaml --study study {options}", here)
    second = here / "study" / "trial2" / "checkpoints" / "last.ckpt"
    while not second.is_file():
        assert killed.is_alive()
        time.sleep(0.01)
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    first = (here / "study" / "trial1" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert resnet_tl("sweep --study study --trials 3").code == 0
    assert (here / "study" / "trials.csv").read_text() == (here / "unbroken" / "trials.csv").read_text()
    assert (here / "study" / "trial1" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == first
    assert "resumes at step" in (here / "study" / "trial2" / "log.txt").read_text()
