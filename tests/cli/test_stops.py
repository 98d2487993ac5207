"""Runs that are killed, signalled, or fed with NaN, and resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.recipe.shipped import shipped_root

RECIPE = """\
model:
  class_path: Classification
  init_args:
    backbone: {name: resnet_tiny, drop_path: 0.2}
    head: {class_path: LinearHead, init_args: {dropout: 0.3}}
    mixup: 0.4
    tuning:
      allow_untrained: true
      ema: 0.9
      phases: [{epochs: 1, train: [head]}, {epochs: 1, train: [layer4, head]}, {train: all, layer_decay: 0.8}]
    optimizer: {lr: 0.05}
    schedule: {name: cosine, warmup_epochs: 0.5}
data:
  class_path: ImageFolder
  init_args: {image_size: 16, crop: 1.0, batch_size: 2, num_workers: 0, augment: medium}
trainer:
  max_epochs: 3
  precision: "32"
  log_every_n_steps: 1
  accumulate_grad_batches: 2
  callbacks: [{class_path: at.At}]
tracking: {checkpoint_every: 2}
"""

MASKS = """\
model:
  class_path: Segmentation
  init_args:
    backbone: {name: resnet_tiny, drop_path: 0.2}
    neck: {class_path: FPN, init_args: {channels: 8, smooth: false}}
    head: {class_path: SemanticFPNHead, init_args: {channels: 8, losses: [{class_path: CrossEntropy, init_args: {class_weights: auto}}, {class_path: Dice}]}}
    tuning: {allow_untrained: true, ema: 0.9, phases: [{epochs: 1, train: [neck, head]}, {train: all, layer_decay: 0.8}]}
    optimizer: {name: adamw, lr: 0.01}
    schedule: {name: poly, warmup_epochs: 0.5}
data:
  class_path: MaskFolder
  init_args: {image_size: 32, short: 48, batch_size: 4, num_workers: 0, augment: medium, balanced: 0.5}
trainer: {max_epochs: 2, precision: "32", log_every_n_steps: 1, callbacks: [{class_path: at.At}]}
tracking: {checkpoint_every: 2}
"""  # noqa: E501

OBJECTS = """\
model:
  class_path: Detection
  init_args:
    backbone: {name: resnet_tiny, drop_path: 0.2}
    neck: {class_path: FPN, init_args: {channels: 8, outputs: [p3, p4, p5]}}
    head: {class_path: MaskRCNN, init_args: {samples: 8, detections: 5}}
    tuning: {allow_untrained: true, ema: 0.9, phases: [{epochs: 1, train: [neck, head]}, {train: all, layer_decay: 0.8}]}
    optimizer: {name: adamw, lr: 0.001}
data:
  class_path: CocoDetection
  init_args: {image_size: 48, batch_size: 4, num_workers: 0, augment: medium, scale: [0.7, 1.4], mosaic: 0.3, copy_paste: 0.3}
trainer: {max_epochs: 2, precision: "32", log_every_n_steps: 1, callbacks: [{class_path: at.At}]}
tracking: {checkpoint_every: 2}
"""  # noqa: E501

AT = '''
import os, signal
from lightning.pytorch import Callback
from resnet_tl import tensor_file

class At(Callback):
    """AT="batch:7" signals (SIGNAL, or SIGKILL) the process before its eighth batch; `file` while a file is written.

    With GROUP=1 the signal goes to its loader's workers too.
    """

    def __init__(self):
        if "GROUP" in os.environ:
            os.setsid()
        self.place, _, count = os.environ.get("AT", ":0").partition(":")
        self.left = int(count)
        if self.place == "file":
            save = tensor_file.torch.save
            tensor_file.torch.save = lambda value, file: (save(value, file), self.seen("file"))

    def seen(self, place):
        if place == self.place:
            if self.left == 0:
                send, to = (os.killpg, os.getpgid(0)) if "GROUP" in os.environ else (os.kill, os.getpid())
                send(to, getattr(signal, os.environ.get("SIGNAL", "SIGKILL")))
            self.left -= 1

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen("batch")
        if os.environ.get("POISON") == str(trainer.global_step):
            batch.images = batch.images.float() * float("nan")

    def on_validation_batch_start(self, trainer, *_, **__):
        if not trainer.sanity_checking:
            self.seen("validation")

    def on_fit_end(self, *_):
        self.seen("end")
'''

NAMES = {"SIGINT": "Ctrl-C"}
"""Of signals in what the command prints."""

Process = Callable[..., BaseProcess]


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def here(tmp_path: Path, images: Path) -> Path:
    return prepared(tmp_path, images)


def prepared(folder: Path, images: Path) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "at.py").write_text(AT)
    (folder / "images").symlink_to(images)
    return folder


LINE = "fit -c recipe.yaml --data.root images"


def finished(process: BaseProcess) -> int | None:
    process.join(300)
    return process.exitcode


@pytest.fixture(scope="module")
def whole(process: Process, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the recipe that nothing stopped."""
    folder = prepared(tmp_path_factory.mktemp("whole"), images)
    assert finished(process(f"{LINE} --run whole", folder)) == 0
    return folder / "whole"


def last(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same_run(one: Path, other: Path) -> None:
    keys = ("state_dict", "raw_state_dict", "optimizer_states", "lr_schedulers", "position", "global_step", "loops")
    assert differences(*({key: last(run)[key] for key in keys} for run in (one, other))) == []
    heads = [torch.load(run / "checkpoints" / "head.ckpt", weights_only=True)["state_dict"] for run in (one, other)]
    assert differences(*heads) == []
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Where they are not equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [at]
    if isinstance(one, dict):
        assert one.keys() == other.keys(), at
        return [place for key in one for place in differences(one[key], other[key], f"{at}.{key}")]
    if isinstance(one, list):
        assert len(one) == len(other), at
        return [
            place for i, pair in enumerate(zip(one, other, strict=True)) for place in differences(*pair, f"{at}[{i}]")
        ]
    return [] if one == other else [at]


def test_killed_runs_resume_bit_for_bit(process: Process, here: Path, whole: Path) -> None:
    for number, place in enumerate(("batch:11", "file:2")):
        run = here / f"run{number}"
        assert finished(process(f"{LINE} --run {run.name}", here, AT=place)) == -signal.SIGKILL
        assert last(run)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"] > 0
        assert finished(process(f"fit --resume {run.name} --trust-code", here)) == 0
        assert_same_run(whole, run)


@pytest.mark.parametrize(("recipe", "task"), [(MASKS, "segmentation"), (OBJECTS, "detection")])
def test_a_killed_run_of_another_task_resumes_bit_for_bit(recipe: str, task: str, process: Process, here: Path) -> None:
    (here / "other.yaml").write_text(recipe)
    line = f"fit -c other.yaml --data.root {shipped_root() / 'data' / 'samples' / task}"
    assert finished(process(f"{line} --run whole", here)) == 0
    assert finished(process(f"{line} --run part", here, AT="batch:9")) == -signal.SIGKILL
    assert last(here / "part")["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"] > 0
    assert finished(process("fit --resume part --trust-code", here)) == 0
    assert_same_run(here / "whole", here / "part")


@pytest.mark.parametrize(("name", "start"), [("SIGTERM", "fork"), slow("SIGUSR1", "spawn"), ("SIGINT", "fork")])
def test_a_signal_to_the_workers_too_loses_nothing(name: str, start: str, process: Process, here: Path) -> None:
    """As SLURM sends it, to every process of a job, and as a terminal does."""
    line = f"{LINE} --data.num_workers 2 --data.multiprocessing {start} --run run"
    code = finished(process(line, here, AT="batch:4", SIGNAL=name, GROUP="1"))
    assert code == 128 + getattr(signal, name), (here / "output.txt").read_text()
    assert f"{NAMES.get(name, name)}: saved at step" in (here / "output.txt").read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_eight_kills_under_spawned_workers(process: Process, here: Path) -> None:
    line = f"{LINE} --data.num_workers 2 --data.multiprocessing spawn --tracking.checkpoint_every 1"
    assert finished(process(f"{line} --run whole", here)) == 0
    midway, in_window = 0, 0
    places = ("batch:3", "batch:6", "batch:9", "validation:5", "file:3", "batch:15", "batch:17", "window")
    for number, place in enumerate(places):
        run = here / f"run{number}"
        if place == "window":  # saved within one by a signal, killed before the next checkpoint
            assert finished(process(f"{line} --run {run.name}", here, AT="batch:10", SIGNAL="SIGTERM")) == 143
            assert finished(process(f"fit --resume {run.name} --trust-code", here, AT="batch:1")) == -signal.SIGKILL
        else:
            assert finished(process(f"{line} --run {run.name}", here, AT=place)) == -signal.SIGKILL
        done = last(run)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"]
        midway += done > 0
        in_window += done % 2
        assert finished(process(f"fit --resume {run.name} --trust-code", here)) == 0
        assert_same_run(here / "whole", run)
    assert midway >= 5
    assert in_window == 1


@pytest.mark.parametrize(
    ("name", "place", "code"),
    [
        slow("SIGTERM", "batch:8", 143),
        slow("SIGUSR1", "validation:1", 0),
        ("SIGUSR1", "validation:9", 0),
        ("SIGINT", "batch:8", 130),
    ],
)
def test_signalled_runs_save_within_the_step_and_auto_resumes_them(
    name: str, place: str, code: int, process: Process, here: Path, whole: Path
) -> None:
    (here / "scontrol").write_text('#!/bin/sh\necho "$@" >> requeued.txt\n')
    (here / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_ID": "77", "PATH": f"{here}:{os.environ['PATH']}"}
    assert finished(process(f"{LINE} --resume auto", here, AT=place, SIGNAL=name, **slurm)) == code
    (run,) = (here / "runs" / "recipe").iterdir()
    assert (here / "requeued.txt").exists() == (name == "SIGUSR1")
    assert f"{NAMES.get(name, name)}: saved at step {last(run)['global_step']}" in (here / "output.txt").read_text()
    assert last(run)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"] > 0
    assert finished(process(f"{LINE} --resume auto", here)) == 0
    assert list((here / "runs" / "recipe").iterdir()) == [run]
    assert_same_run(whole, run)


@pytest.mark.parametrize(
    ("name", "code"),
    [("SIGKILL", -signal.SIGKILL), slow("SIGTERM", 143), slow("SIGUSR1", 138), slow("SIGINT", 130)],
)
def test_a_run_stopped_after_training_is_finished_by_auto(name: str, code: int, process: Process, here: Path) -> None:
    assert finished(process(f"{LINE} --resume auto", here, AT="end:0", SIGNAL=name)) == code
    (run,) = (here / "runs" / "recipe").iterdir()
    before = (run / "metrics.csv").read_text()
    assert "calibrated for predict" not in (run / "log.txt").read_text()
    assert finished(process(f"{LINE} --resume auto", here)) == 0
    assert list((here / "runs" / "recipe").iterdir()) == [run]
    assert "resumes at step 9, after its last epoch" in (run / "log.txt").read_text()
    assert "calibrated for predict" in (run / "log.txt").read_text()
    assert (run / "metrics.csv").read_text() == before


@pytest.fixture
def both(on_ranks: Callable[..., list[int | None]], here: Path) -> Callable[..., list[int | None]]:
    """Runs a line on two ranks, the second with more environment, and returns their exit codes."""
    return lambda line, **second: on_ranks(line, here, {}, second)


TWO = f"{LINE} --trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp"


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), slow("SIGINT", 130)])
def test_two_ranks_stop_at_one_step_when_one_is_signalled(name: str, code: int, both: Any, here: Path) -> None:
    assert both(f"{TWO} --run whole") == [0, 0]
    assert both(f"{TWO} --run run", AT="batch:4", SIGNAL=name) == [code, code]
    assert last(here / "run")["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"] > 0
    assert both("fit --resume run --trust-code") == [0, 0]
    assert_same_run(here / "whole", here / "run")


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -signal.SIGKILL), slow("SIGTERM", 143)])
def test_two_ranks_stopped_after_training_finish_on_resume(
    name: str, code: int, on_ranks: Callable[..., list[int | None]], both: Any, here: Path
) -> None:
    stop = {"AT": "end:0", "SIGNAL": name}
    assert on_ranks(f"{TWO} --run run", here, stop, stop) == [code, code]
    assert both("fit --resume run --trust-code") == [0, 0]
    assert "calibrated for predict" in (here / "run" / "log.txt").read_text()
    assert '"finished": true' in (here / "run" / "summary.json").read_text()


def test_a_nan_loss_of_one_rank_stops_all_and_names_its_files(both: Any, here: Path) -> None:
    assert both(f"{TWO} --run run", POISON="3") == [2, 2]
    errors = [line for line in (here / "output.txt").read_text().splitlines() if line.startswith("error: ")]
    assert len(set(errors)) == 1
    assert errors[0].count("images/train/") == 2  # of that rank's batch alone
    assert all(value.isfinite().all() for value in last(here / "run")["state_dict"].values())


def test_a_nan_loss_stops_the_run_and_names_the_files_of_its_batch(process: Process, here: Path) -> None:
    assert finished(process(f"{LINE} --run run", here, POISON="5")) == 2
    (sentence,) = (line for line in (here / "output.txt").read_text().splitlines() if line.startswith("error: "))
    assert sentence.startswith("error: the loss of step 5 is not a number (NaN or infinite); its batch: images/train/")
    saved = last(here / "run")
    assert saved["global_step"] == 4
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_a_damaged_checkpoint_is_one_sentence(process: Process, here: Path) -> None:
    assert finished(process(f"{LINE} --run run", here, AT="batch:9")) == -signal.SIGKILL
    path = here / "run" / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:3000])
    for line in ("fit --resume run --trust-code", f"{LINE} --run run --resume auto"):
        assert finished(process(line, here)) == 2
    errors = (here / "output.txt").read_text().splitlines()[-2:]
    assert [line.partition(": ")[2] for line in errors] == [
        "run/checkpoints/last.ckpt: not a torch.save file, or cut off or damaged"
    ] * 2


def test_a_run_in_use_is_refused(process: Process, here: Path) -> None:
    stopped = process(f"{LINE} --run run", here, AT="batch:9", SIGNAL="SIGSTOP")
    while not (here / "run" / "checkpoints" / "last.ckpt").exists():
        stopped.join(0.1)
    assert finished(process("fit --resume run --trust-code", here)) == 2
    stopped.kill()
    stopped.join()
    assert "error: run: another process is training in this folder; name another: --run DIR" in (
        (here / "output.txt").read_text().splitlines()
    )


def test_a_run_killed_before_its_first_checkpoint_restarts_in_its_folder(process: Process, here: Path) -> None:
    line = f"{LINE} --run run --resume auto --trainer.max_epochs 3"
    assert finished(process(line, here, AT="batch:3")) == -signal.SIGKILL
    assert not (here / "run" / "checkpoints" / "last.ckpt").exists()
    assert finished(process(f"{LINE} --run run", here)) == 2
    assert finished(process(line, here)) == 0
    steps = [row.split(",")[1] for row in (here / "run" / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == [str(step) for step in range(9)]
