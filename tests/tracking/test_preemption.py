from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.tracking.log import log_file
from resnet_tl.tracking.preemption import SIGNALS, Preempted, requeue, stop_at_signals
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.terminal import terminal_log


@pytest.fixture(autouse=True)
def attended() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell has it ignored by what it starts in the background, as these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("received", SIGNALS)
def test_a_signal_saves_the_run_within_the_step_and_stops_it(
    received: signal.Signals, train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Signalled(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.global_step == 5:
                os.kill(os.getpid(), received)
            return super().training_step(batch, batch_idx)

    handlers = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Preempted) as stopped:
        train(Signalled())
    assert stopped.value.exit_code == stopped.value.code == 128 + received
    run = tmp_path / "run"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6
    assert f"{received.name}: saved at step 6; to resume: --resume {run}" in capsys.readouterr().out
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert train(tiny(), resume=run / "checkpoints" / "last.ckpt").global_step == 12


def test_ctrl_c_saves_the_run_within_the_step(
    train: Any, tiny: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.global_step == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return super().training_step(batch, batch_idx)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:  # Lightning's
        train(Interrupted())
    assert "saved at step 6; to resume" in str(stopped.value.__context__)
    printed = capfd.readouterr().err
    assert "press it again to stop at once" in printed
    assert "graceful shutdown" not in printed
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 6
    assert signal.getsignal(signal.SIGINT) == handler
    assert train(tiny(), resume=last).global_step == 12


@pytest.mark.parametrize(("hook", "presses"), [("training_step", 2), ("on_train_start", 1)])
def test_ctrl_c_stops_at_once_when_pressed_again_and_before_the_first_batch(
    hook: str, presses: int, train: Any, tiny: Any, tmp_path: Path
) -> None:
    class Interrupted(tiny):
        pass

    def interrupted(self: Any, *_: Any) -> None:
        for _press in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the run goes on")

    setattr(Interrupted, hook, interrupted)
    with pytest.raises(SystemExit) as stopped:
        train(Interrupted())
    assert repr(stopped.value.__context__) == "KeyboardInterrupt()"
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("hook", ["on_validation_end", "on_train_end"])
def test_a_signal_after_the_last_batch_stops_the_run_when_it_is_saved(
    hook: str, train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Signalled(tiny):
        pass

    def signalled(self: Any) -> None:
        if self.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    setattr(Signalled, hook, signalled)
    with pytest.raises(Preempted) as stopped:
        train(Signalled(), epochs=1)
    assert stopped.value.exit_code == 143
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    assert "SIGTERM: saved at step 4; to resume" in capsys.readouterr().out


@pytest.mark.parametrize("part_of", ["folds.json", "study.db"])
def test_a_part_leaves_the_way_to_resume_to_the_whole(
    part_of: str, train: Any, tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Signalled(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    (tmp_path / part_of).touch()
    with pytest.raises(Preempted):
        train(Signalled())
    out = capsys.readouterr().out
    assert "SIGTERM: saved at step 1" in out
    assert "resume" not in out


@pytest.mark.parametrize(
    ("script", "line"),
    [("exit 0", "SLURM has requeued job 7_3"), ("echo no >&2; exit 1", "SLURM has not requeued job 7_3: no")],
)
def test_a_requeue_names_the_job_of_an_array(
    script: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n{script}\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}.items():
        monkeypatch.setenv(name, value)
    with terminal_log():
        assert requeue() == (script == "exit 0")
    assert (tmp_path / "called").read_text() == "requeue 7_3\n"
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(
    ("saved", "end"), [(True, "; to resume: --resume {run}"), (False, "; nothing was saved before")]
)
def test_ctrl_c_says_how_to_resume_and_leaves_no_traceback(
    saved: bool, end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    if saved:
        run.checkpoints.mkdir()
        run.last.touch()
    with pytest.raises(KeyboardInterrupt), terminal_log(), log_file(run.log), stop_at_signals(run):
        os.kill(os.getpid(), signal.SIGINT)
    line = f"Ctrl-C: stopped{end.format(run=run.place)}\n"
    assert capsys.readouterr().out == line
    assert run.log.read_text()[21:] == line
