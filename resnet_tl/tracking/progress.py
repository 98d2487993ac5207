"""A run's progress: a live bar on a terminal, and one line per epoch everywhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from torch import Tensor

from resnet_tl.structures.scores import improves
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.pace import Pace, duration

EPOCH_LOSS = "train/loss_epoch"


class Progress(ProgressBar):
    """`epoch 3/15  train/loss_epoch 0.41  val/loss 0.38  val/acc 0.9  lr 0.02  phase 1  212 images/s  1.2 min left`,
    after each epoch.

    `val/acc 0.9 (best 0.92)` where an earlier epoch was better; `lr` is the highest rate of a stage; phases count from
    0, as in metrics.csv.

    The speed is that of the epoch's batches, see `Pace`; summary.json has the run's.

    `train/loss_epoch`, which is logged too, is the mean over the epoch's batches of all ranks, on the bar over those of
    rank 0 so far; `train/loss` is of one batch.

    In between, a terminal shows a live bar; elsewhere (the log of a cluster or of CI) there is a line every minute.

    Args:
        saved: the best so far, whose metric is shown next to the losses.
        terminal: whether stdout is a terminal; None detects it.
    """

    def __init__(self, saved: Best, pace: Pace, terminal: bool | None = None) -> None:
        super().__init__()
        self.saved, self.monitor, self.pace = saved, saved.metric, pace
        self._display: Bar | Lines = Bar() if (sys.stdout.isatty() if terminal is None else terminal) else Lines()
        self._loss: Tensor | float = 0.0
        self._batches = 0
        self._logs = True

    def disable(self) -> None:
        """Lightning calls this on every rank but 0."""
        self._display = Lines(every=math.inf)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._loss += outputs["loss"] * trainer.accumulate_grad_batches
        self._batches += 1
        if self._display.due():
            metrics = self._metrics(trainer, self.monitor)
            text = _line(metrics, self.pace, self.pace.seconds_left(trainer, batch_idx + 1))
            self._display.at(_epoch(trainer), batch_idx + 1, self.total_train_batches, text)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._display.end()
        metrics = self._metrics(trainer, "val/loss", self.monitor)
        if self._batches:
            metrics[EPOCH_LOSS] = trainer.strategy.reduce(self._own_loss / self._batches, reduce_op="mean")
            if self._logs:
                pl_module.log(EPOCH_LOSS, metrics[EPOCH_LOSS])
        best = {} if self.saved.best_model_score is None else {self.monitor: float(self.saved.best_model_score)}
        left = self.pace.seconds_left(trainer, int(trainer.num_training_batches))
        line = _line(metrics, self.pace, left, [*_rate_and_phase(trainer.callback_metrics)], best)
        log_info(f"{_epoch(trainer)}  {line}")
        self._loss, self._batches = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        of_ranks = self.trainer.strategy.all_gather(self._own_loss)
        return {"loss": of_ranks.reshape(-1).tolist(), "batches": self._batches, "logs": self._logs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        loss, trainer = state_dict["loss"], self.trainer
        of_ranks = loss if isinstance(loss, list) else [loss]  # earlier versions saved rank 0's alone
        same = len(of_ranks) == trainer.world_size
        self._loss = of_ranks[trainer.global_rank] if same else fmean(of_ranks)
        self._batches = state_dict["batches"]
        self._logs = state_dict.get("logs", False)  # a run's metrics.csv keeps the columns that it began with

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if not trainer.sanity_checking:
            self._evaluated("validation", trainer.num_val_batches, *args)

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._evaluated("test", trainer.num_test_batches, *args)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._display.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the bar before the traceback is printed."""
        self._display.end()

    @property
    def _own_loss(self) -> Tensor:
        """The sum of this rank's losses of the epoch so far."""
        return torch.as_tensor(self._loss, device=self.trainer.strategy.root_device)

    def _metrics(self, trainer: Trainer, *names: str) -> dict[str, Tensor | float]:
        """The mean training loss of the epoch so far, and the last logged values of `names`."""
        loss = {EPOCH_LOSS: self._loss / self._batches} if self._batches else {}
        return loss | {name: trainer.callback_metrics[name] for name in names if name in trainer.callback_metrics}

    def _evaluated(
        self, title: str, batches: list[int | float], pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if self._display.due():
            self._display.at(title, batch_idx + 1, sum(batches), "")


class Bar:
    """A live bar that disappears when it ends."""

    def __init__(self) -> None:
        self._rich: RichProgress | None = None
        self._drawn = 0.0

    def due(self) -> bool:
        """At most twice a second: reading a loss makes the CPU wait for the GPU."""
        return time.monotonic() - self._drawn > 0.5

    def at(self, title: str, done: int, total: float, text: str) -> None:
        self._drawn = time.monotonic()
        known = None if math.isinf(total) else total
        if self._rich is not None:
            self._rich.update(self._rich.task_ids[0], description=title, completed=done, total=known, text=text)
            return
        self._rich = RichProgress(  # where the terminal is narrow, the text is cut
            TextColumn("{task.description}", table_column=Column(min_width=len(title))),
            BarColumn(20, table_column=Column(min_width=10)),
            MofNCompleteColumn(table_column=Column(min_width=2 * len(str(known)) + 1)),
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
            transient=True,
        )
        self._rich.add_task(title, completed=done, total=known, text=text)
        self._rich.start()

    def end(self) -> None:
        if self._rich is not None:
            self._rich.stop()
        self._rich = None


class Lines:
    """Plain lines for logs, at most one every `every` seconds."""

    def __init__(self, every: float = 60.0) -> None:
        self.every = every
        self._written = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._written > self.every

    def at(self, title: str, done: int, total: float, text: str) -> None:
        self._written = time.monotonic()
        log_info(f"{title}  batch {done}/{total}  {text}")

    def end(self) -> None:
        """Nothing to remove: lines stay."""


def _epoch(trainer: Trainer) -> str:
    ends = [trainer.max_epochs] if trainer.max_epochs is not None and trainer.max_epochs > 0 else []
    if trainer.max_steps > 0 and not math.isinf(trainer.num_training_batches):
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        ends.append(math.ceil(trainer.max_steps / steps))
    return f"epoch {trainer.current_epoch + 1}" + (f"/{min(ends)}" if ends else "")


def _line(
    metrics: Mapping[str, Tensor | float],
    pace: Pace,
    seconds_left: float | None,
    more: Sequence[str] = (),
    best: Mapping[str, float] = MappingProxyType({}),
) -> str:
    parts = []
    for name, value in metrics.items():
        is_worse = name in best and improves(name, best[name], float(value))
        parts.append(f"{name} {float(value):.4g}" + (f" (best {best[name]:.4g})" if is_worse else ""))
    parts += more
    if (timed := pace.of_epoch).batches:
        speed = timed.images / timed.seconds
        parts.append(f"{speed:.{0 if speed >= 10 else 1}f} images/s")
    if seconds_left is not None and seconds_left >= 0.5:
        parts.append(f"{duration(seconds_left)} left")
    return "  ".join(parts)


def _rate_and_phase(logged: Mapping[str, Tensor]) -> Iterator[str]:
    """`lr 0.02`, the highest rate of a stage, and `phase 1`, as far as they are logged."""
    rates = [float(value) for name, value in logged.items() if name.startswith("lr/")]
    if rates:
        yield f"lr {max(rates):.3g}"
    if "phase" in logged:
        yield f"phase {int(logged['phase'])}"
