"""The run at an MLflow server, or in files of the run folder. The only import of mlflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.extras import require
from resnet_tl.tracking.loggers.drawings import Drawing, Table
from resnet_tl.tracking.loggers.identity import group_of
from resnet_tl.tracking.loggers.painted import as_csv, painted
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


def mlflow_logger(tracking: Tracking, run: RunFolder, recipe: dict[str, Any] | None = None) -> MLflow:
    """Logs to the server that MLFLOW_TRACKING_URI names, without one to `mlruns/` in the run folder.

    A resumed run is the same run of MLflow. The tag `group` is that of W&B.

    Raises:
        RunError: mlflow is not installed.
    """
    require("tracking.mlflow: true", "mlflow", extra="mlflow")
    server, id_file = os.environ.get("MLFLOW_TRACKING_URI"), run.path / "mlflow_id.txt"
    if server is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions refuse files otherwise
    logger = MLflow(
        experiment_name=tracking.project,
        run_name=tracking.name or run.name,
        tracking_uri=server or (run.path / "mlruns").absolute().as_uri(),
        tags={**dict.fromkeys(tracking.tags, "true"), **({} if recipe is None else {"group": group_of(recipe)})},
        run_id=id_file.read_text() if id_file.exists() else None,
    )
    if rank_zero_only.rank == 0 and not id_file.exists():  # type: ignore[attr-defined]
        if recipe is not None:
            logger.log_hyperparams(recipe)
        id_file.write_text(str(logger.run_id))
    return logger


class MLflow(RunLogger, MLFlowLogger):
    """Lightning's logger; charts are images, tables are CSV files."""

    def send(self, metrics: Mapping[str, float], step: int | None) -> None:
        MLFlowLogger.log_metrics(self, metrics, step)

    @rank_zero_only
    def show(self, name: str, drawing: Drawing, step: int) -> None:
        """As an artifact under its name; a later one replaces it."""
        if isinstance(drawing, Table):
            self.experiment.log_text(self.run_id, as_csv(drawing), f"{name}.csv")
        else:
            self.experiment.log_image(self.run_id, painted(drawing), f"{name}.png")

    @rank_zero_only
    def end(self, outcome: Outcome) -> None:
        self.log_metrics(outcome.metrics)
        for name, digest in outcome.digests.items():
            self.experiment.set_tag(self.run_id, f"{name}_digest", digest)
        for path in (*outcome.checkpoints.values(), *outcome.data):
            self.experiment.log_artifact(self.run_id, str(path), "checkpoints" if path.suffix == ".ckpt" else "data")
