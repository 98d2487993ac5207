"""Asks loggers to draw the best validation so far, and a table of its predictions at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.tracking.best import Best
from resnet_tl.tracking.loggers.drawings import Drawing
from resnet_tl.tracking.loggers.run_logger import run_loggers
from resnet_tl.tracking.predictions import load_evaluation
from resnet_tl.tracking.run_folder import RunFolder


class Draw(Protocol):
    """What is drawn."""

    def validation(self, evaluation: Evaluation, tables: Mapping[str, Any]) -> dict[str, Drawing]:
        """Returns drawings by name, from the predictions and the tables of a validation."""

    def end(self, evaluation: Evaluation) -> dict[str, Drawing]:
        """Returns drawings by name, from the predictions of the best validation of the whole run."""


class DrawBest(Callback):
    """Draws each validation that is better than all before; without a logger that draws, nothing is computed.

    Args:
        best: the callback that saves best.ckpt, after this one.
    """

    def __init__(self, draw: Draw, run: RunFolder, best: Best) -> None:
        self.draw, self.run, self.best = draw, run, best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = run_loggers(trainer.loggers)
        evaluation: Evaluation | None = getattr(pl_module, "evaluation", None)
        if not loggers or evaluation is None or not trainer.is_global_zero or not self.best.improves(trainer):
            return
        drawings = self.draw.validation(evaluation, pl_module.tables)  # type: ignore[arg-type]
        for logger in loggers:
            logger.draw(drawings, trainer.global_step - 1)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = run_loggers(trainer.loggers)
        if not loggers or not trainer.is_global_zero or not self.run.best_predictions.is_file():
            return
        drawings = self.draw.end(load_evaluation(self.run.best_predictions))
        for logger in loggers:
            logger.draw(drawings, trainer.global_step)
