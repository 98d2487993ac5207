"""Takes the loggers back to the checkpoint that a run resumes from."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.run_logger import run_loggers


class RewindLoggers(Callback):
    """Drops the rows of metrics.csv that a resumed run writes again; other loggers, which cannot, skip the repeats."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        csvs = [logger for logger in trainer.loggers if isinstance(logger, MetricsCsv)]
        dropped = [csv.truncate_after(checkpoint["global_step"]) for csv in csvs]
        for logger in run_loggers(trainer.loggers):
            logger.already_sent = {} if not dropped or dropped[0] is None else dropped[0]
