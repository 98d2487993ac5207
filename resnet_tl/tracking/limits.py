"""The end of a run by `max_steps` or `max_time`, which may be within an epoch: both are known before the last step is
made, so that it is logged as the last one, and validated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer


class TimeLimit(Timer):
    """`max_time`, checked before each optimizer step; Lightning's checks it after each batch."""

    def on_before_optimizer_step(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_batch_end(trainer)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Nothing: the step that was made may not have been known as the last."""


class ValidateLastStep(Callback):
    """Validates after the run's last step, so that its final scores are those of its final weights.

    Lightning ends a run by `max_steps` without a validation unless the epoch ends there, too, and does not validate the
    last epoch where `check_val_every_n_epoch` passes it over.
    """

    def on_before_optimizer_step(self, trainer: Trainer, *args: Any) -> None:
        if 0 < trainer.max_steps <= trainer.global_step + 1:
            trainer.should_stop = True  # Lightning then logs this step, and validates after it

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        ends = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if (trainer.should_stop or ends) and trainer.check_val_every_n_epoch is not None:
            trainer.check_val_every_n_epoch = 1


def time_left(trainer: Trainer) -> Iterator[float]:
    """Yields the seconds that are left of `max_time`, if it is set."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (seconds := callback.time_remaining()) is not None:
            yield seconds


def is_over(trainer: Trainer) -> bool:
    """Whether `max_steps` or `max_time` has ended the run."""
    return 0 < trainer.max_steps <= trainer.global_step or any(seconds <= 0 for seconds in time_left(trainer))
