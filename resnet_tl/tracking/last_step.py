"""The end of training: the last optimizer step is validated, wherever it is."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class ValidateLastStep(Callback):
    """Validates after the run's last step, so that its final scores are those of its final weights.

    Lightning ends a run by `max_steps` without a validation unless the epoch ends there, too, and does not validate the
    last epoch where `check_val_every_n_epoch` passes it over.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        stops = 0 < trainer.max_steps <= trainer.global_step
        if stops:
            trainer.should_stop = True  # Lightning then validates after this batch
        ends = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        if (stops or ends) and trainer.check_val_every_n_epoch is not None:
            trainer.check_val_every_n_epoch = 1
