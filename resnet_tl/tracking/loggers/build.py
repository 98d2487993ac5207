"""The loggers of a run: metrics.csv always, W&B, TensorBoard and MLflow on request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning.pytorch.loggers import Logger

from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.loggers.mlflow import mlflow_logger
from resnet_tl.tracking.loggers.tensorboard import tensorboard_logger
from resnet_tl.tracking.loggers.wandb import Wandb, wandb_logger
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def loggers(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None = None) -> list[Logger]:
    """Builds the loggers for `Trainer(logger=...)`.

    Args:
        recipe: resolved; W&B shows it as the run's config, MLflow as its parameters.

    Raises:
        RunError: TensorBoard or MLflow is requested but not installed.
    """
    chosen: list[Logger] = [MetricsCsv(run.metrics)]
    if tracking.wandb:
        chosen.append(wandb_logger(tracking, run, recipe))
    if tracking.tensorboard:
        chosen.append(tensorboard_logger(run))
    if tracking.mlflow:
        chosen.append(mlflow_logger(tracking, run, recipe))
    return chosen


def close(chosen: Iterable[Logger]) -> None:
    """Ends what loggers keep for the whole process: the W&B run."""
    for logger in chosen:
        if isinstance(logger, Wandb):
            logger.close()
