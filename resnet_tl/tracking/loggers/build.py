"""The loggers of a run: metrics.csv always, W&B and TensorBoard on request."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.loggers import Logger

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.tensorboard import tensorboard_logger
from resnet_tl.tracking.loggers.wandb import wandb_logger
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def loggers(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None = None) -> list[Logger]:
    """Builds the loggers for `Trainer(logger=...)`.

    Args:
        recipe: resolved; W&B shows it as the run's config.

    Raises:
        RunError: TensorBoard is requested but not installed.
    """
    chosen: list[Logger] = [MetricsCsv(run.metrics)]
    if tracking.wandb:
        chosen.append(wandb_logger(tracking, run, recipe))
    if tracking.tensorboard:
        chosen.append(tensorboard_logger(run))
    return chosen
