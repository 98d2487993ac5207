"""Makes what loggers hold that of one unbroken run, whatever ends a process."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.run_logger import run_loggers
from resnet_tl.tracking.loggers.wandb import Wandb


class RewindLoggers(Callback):
    """Drops the rows of metrics.csv that a resumed run writes again; other loggers, which cannot, skip the repeats.

    W&B's rows are written as soon as they are complete, so that a process that is killed loses few of them.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        (csv,) = (logger for logger in trainer.loggers if isinstance(logger, MetricsCsv))
        dropped = csv.truncate_after(checkpoint["global_step"])
        for logger in run_loggers(trainer.loggers):
            logger.resume(csv, dropped or {})  # None on all ranks but the first

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, Wandb):
                logger.end_rows(trainer.global_step - 1)  # a validation within an accumulation adds to the last row
