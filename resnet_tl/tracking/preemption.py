"""SIGTERM and SIGUSR1: the run is saved within the step and ends, to go on later."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.last import Last
from resnet_tl.tracking.log import log_info

SIGNALS = (signal.SIGTERM, signal.SIGUSR1) if hasattr(signal, "SIGUSR1") else (signal.SIGTERM,)


class Preempted(SystemExit):
    """A signal has stopped the run, which is saved.

    exit_code: 128 + the signal's number (143 after SIGTERM), 0 if SLURM has requeued the job.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Preemption(Callback):
    """Watches for the signals while a run trains; it alone answers them.

    With several processes any of them may be signalled, each at a moment of its own. After every batch they add up who
    has been; the sum is asked for one batch later, so that none waits for another, and all stop at the same batch. That
    is a message of 8 bytes a batch, beside those of the gradients, on connections and threads of its own.
    """

    def __init__(self, last: Last) -> None:
        self.last = last
        self.received = 0
        self._stop = 0
        self._before: dict[int, Any] = {}
        self._group: Any = None
        self._asked: tuple[Any, torch.Tensor] | None = None

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._listen()
        if trainer.world_size > 1 and self._group is None:
            self._group = dist.new_group(backend="gloo")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._agree()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if not trainer.sanity_checking:
            self._agree()
            if self._stop:
                self._end(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._stop:
            self._end(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._settle()
        self._silence()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._silence()

    def _listen(self) -> None:
        """After Lightning's own handlers, so that ours are the ones that count."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) != self._receive:
                    self._before[number] = signal.signal(number, self._receive)

    def _silence(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: Any) -> None:
        self.received = self.received or number

    def _agree(self) -> None:
        if self._group is None:
            self._stop = self.received
            return
        self._settle()
        seen = torch.tensor([self.received])
        self._asked = dist.all_reduce(seen, dist.ReduceOp.MAX, self._group, async_op=True), seen

    def _settle(self) -> None:
        """Take the answer to what was asked a batch ago."""
        if self._asked is not None:
            work, seen = self._asked
            work.wait()
            self._stop, self._asked = int(seen), None

    def _end(self, trainer: Trainer) -> None:
        self._settle()
        self.last.save(trainer)
        name = signal.Signals(self._stop).name
        log_info(f"{name}: saved at step {trainer.global_step}; to go on: --resume {self.last.path.parents[1]}")
        code = 128 + self._stop
        if name == "SIGUSR1" and "SLURM_JOB_ID" in os.environ and (not trainer.is_global_zero or requeue()):
            code = 0
        raise Preempted(code)


def requeue() -> bool:
    """Put this SLURM job into its queue again; whether SLURM has agreed."""
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
            log_info(f"SLURM has put job {job} into its queue again")
            return True
    log_info(f"SLURM has not taken job {job} again: {' '.join(reason.split())}")
    return False
