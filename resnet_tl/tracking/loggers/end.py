"""Hands the results of a finished run to its loggers."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.loggers.identity import data_digest, recipe_digest
from resnet_tl.tracking.loggers.run_logger import Outcome, run_loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.summary import Summary


class EndLoggers(Callback):
    """Gives loggers the best and the final metrics; checkpoints and the record of the data, if `artifacts` is true."""

    def __init__(self, run: RunFolder, summary: Summary, artifacts: bool) -> None:
        self.run, self.summary, self.artifacts = run, summary, artifacts

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loggers = run_loggers(trainer.loggers)
        if not loggers or not trainer.is_global_zero:
            return
        results = {"best": self.summary.best, "final": self.summary.final}
        metrics = {f"{when}/{name}": float(value) for when, each in results.items() for name, value in each.items()}
        recipe = getattr(pl_module, "recipe", None)
        digests = {"recipe": recipe_digest(recipe)} if recipe else {}
        if self.run.files.is_file():
            digests["data"] = data_digest(self.run)
        checkpoints = {
            name: path for name in ("best", "last") if (path := self.run.checkpoints / f"{name}.ckpt").is_file()
        }
        data = [path for path in (self.run.files, self.run.split) if path.is_file()]
        sent = (checkpoints, data) if self.artifacts else ({}, [])
        for logger in loggers:
            logger.end(Outcome(metrics, digests, *sent))
