"""Asks loggers to draw the best validation so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.tracking.checkpoints import improves
from resnet_tl.tracking.loggers.drawings import Drawing, Draws

Draw: TypeAlias = Callable[[Evaluation, Mapping[str, Any]], dict[str, Drawing]]
"""Returns the drawings of a validation, by name, from its predictions and its tables."""


class DrawBest(Callback):
    """Draws each validation that is better than all before; without a logger that draws, nothing is computed.

    Args:
        best: the callback that saves best.ckpt, after this one.
    """

    def __init__(self, draw: Draw, best: ModelCheckpoint) -> None:
        self.draw, self.best = draw, best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, Draws)]
        evaluation: Evaluation | None = getattr(pl_module, "evaluation", None)
        if not loggers or evaluation is None or not trainer.is_global_zero or not improves(trainer, self.best):
            return
        drawings = self.draw(evaluation, pl_module.tables)  # type: ignore[arg-type]
        for logger in loggers:
            logger.draw(drawings, trainer.global_step - 1)
