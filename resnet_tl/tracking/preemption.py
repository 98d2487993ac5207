"""On SIGTERM, SIGUSR1 and Ctrl-C the run is saved within the step and stops; it can be resumed. Before and after
training, when there is nothing to save, it stops at once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.signals import SIGNALS
from resnet_tl.tracking.last import Last
from resnet_tl.tracking.log import is_rank_zero, log_info
from resnet_tl.tracking.run_folder import RunFolder

CTRL_C = b"\nCtrl-C: the run is saved after this step, and stops; press it again to stop at once\n"


class Preempted(SystemExit):
    """A signal has stopped the run, which is saved.

    exit_code: 128 + the signal's number (143 after SIGTERM), 0 if SLURM has requeued the job.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@contextmanager
def stop_at_signals(run: RunFolder) -> Iterator[None]:
    """Around all that a run does: a signal ends it at once, as there is nothing to save but while it trains, when
    `Preemption` handles the signals.

    Raises:
        Preempted: a signal was received.
        KeyboardInterrupt: Ctrl-C was pressed.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:  # the scheduler's next one must not interrupt the clean-up
            signal.signal(each, signal.SIG_IGN)
        _stop(number, f"stopped outside of training{_hint(run)}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    except KeyboardInterrupt as stopped:
        log_info(f"Ctrl-C: {str(stopped) or f'stopped{_hint(run)}'}")
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Preemption(Callback):
    """Handles the signals while a run trains, instead of Lightning, which restores the earlier handlers afterwards.

    Any rank may receive a signal, and at any time. After every batch the ranks reduce the signals they have received;
    the result is read one batch later, so that no rank waits for another and all stop at the same batch. This costs a
    message of 8 bytes per batch, on a process group (connections and threads) apart from that of the gradients.
    """

    def __init__(self, last: Last) -> None:
        self.last = last
        self.received = 0
        self._stop = 0
        self._group: dist.ProcessGroup | None = None
        self._pending: tuple[dist.Work, torch.Tensor] | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._handle(*SIGNALS)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._handle(*SIGNALS)
        if trainer.world_size > 1 and self._group is None:
            group = dist.new_group(backend="gloo")
            assert isinstance(group, dist.ProcessGroup)  # an int on ranks outside the group, but all are in it
            self._group = group

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._reduce_signals()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if not trainer.sanity_checking:
            self._reduce_signals()
            if self._stop:
                self._save_and_stop(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._stop:
            self._save_and_stop(trainer)
        self._handle(signal.SIGINT)  # not before: until a batch is trained on, Ctrl-C stops at once

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._read_pending()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops for a signal that came after the last batch: `last.ckpt` is of the end of training by now."""
        if number := self._stop or self.received:
            self._stop_saved(trainer, number)

    def _handle(self, *signals: signal.Signals) -> None:
        """Called after Lightning has installed its own handlers, so that ours replace them."""
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.received:
                raise KeyboardInterrupt
            os.write(2, CTRL_C)  # print must not be called within itself
        self.received = self.received or number

    def _reduce_signals(self) -> None:
        if self._group is None:
            self._stop = self.received
            return
        self._read_pending()
        signals = torch.tensor([self.received])
        self._pending = dist.all_reduce(signals, dist.ReduceOp.MAX, self._group, async_op=True), signals

    def _read_pending(self) -> None:
        """Reads the result of the reduction that the previous batch started."""
        if self._pending is not None:
            work, signals = self._pending
            work.wait()
            self._stop, self._pending = int(signals), None

    def stop_compiling(self, trainer: Trainer) -> None:
        """Raises, as `_stop`, if this rank has received a signal: for a step that cannot be completed, as the signal
        has ended the compiler's processes, too. The run resumes from the last checkpoint written."""
        if self.received:
            _stop(self.received, f"stopped while step {trainer.global_step} was compiled{_hint(self._run)}")

    def _save_and_stop(self, trainer: Trainer) -> None:
        self._read_pending()
        self.last.save(trainer)
        self._stop_saved(trainer, self._stop)

    def _stop_saved(self, trainer: Trainer, number: int) -> None:
        _stop(number, f"saved at step {trainer.global_step}{_hint(self._run)}")

    @property
    def _run(self) -> RunFolder:
        return RunFolder(self.last.path.parents[1])


def _hint(run: RunFolder) -> str:
    if not run.last.is_file():
        return "; nothing was saved before"
    return "" if run.is_part else f"; to resume: --resume {run.place}"


def _stop(number: int, event: str) -> None:
    """Raises Preempted, or KeyboardInterrupt for Ctrl-C, whose event `stop_at_signals` logs."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt(event)
    name = signal.Signals(number).name
    log_info(f"{name}: {event}")
    code = 128 + number
    if name == "SIGUSR1" and "SLURM_JOB_ID" in os.environ and (not is_rank_zero() or requeue()):
        code = 0
    raise Preempted(code)


def requeue() -> bool:
    """Requeues this SLURM job, and returns whether SLURM accepted."""
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60)
        reason = answer.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    else:
        if answer.returncode == 0:
            log_info(f"SLURM has requeued job {job}")
            return True
    log_info(f"SLURM has not requeued job {job}: {' '.join(reason.split())}")
    return False
