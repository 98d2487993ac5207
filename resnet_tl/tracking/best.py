"""best.ckpt and predictions.npz: the weights of the best validation so far, and what they predicted."""

from __future__ import annotations

import math
import os
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor

from resnet_tl.structures.evaluation import Evaluation
from resnet_tl.structures.scores import improves, lower_is_better, worst
from resnet_tl.tensor_file import load_safely
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.predictions import save_evaluation, step_of
from resnet_tl.tracking.run_folder import RunFolder


class Best(ModelCheckpoint):
    """Saves `best.ckpt`: the epoch with the best `monitor` (the first of equals), never one where it is NaN.

    A run that is killed may resume from before its best.ckpt was written. If it is the same from there on, it writes
    the same file again. If not, as with other data, the best that the checkpoint knows is lost with its file: it is
    forgotten at the validation that should have written the file again, which becomes the best.

    Attributes:
        step: of the best so far, in optimizer steps; None before there is one.
        since: the step from which the best counts, as one before is lost; 0: from the start.
    """

    def __init__(self, run: RunFolder, monitor: str) -> None:
        mode = "min" if lower_is_better(monitor) else "max"
        super().__init__(run.checkpoints, "best", monitor=monitor, mode=mode, enable_version_counter=False)
        self.run, self.metric = run, monitor
        self.step: int | None = None
        self.since = 0
        self._written: int | None = None
        """The step of files that were written after the checkpoint that the run resumed from; None: there are none."""

    @property
    def state_key(self) -> str:
        """That of a ModelCheckpoint, by which checkpoints hold this one's state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def improves(self, trainer: Trainer) -> bool:
        """Whether the weights of the validation that has just ended are about to be saved."""
        score = self._score(trainer)
        return score is not None and (self._exceeds(score) or self._should_replace(trainer))

    @property
    def is_lost(self) -> bool:
        """Whether the files are not those of the best that is known."""
        return self._written is not None

    def forget(self, trainer: Trainer) -> None:
        """Forgets the best that is known, whose files are lost."""
        log_info(
            f"the best before step {trainer.global_step} is lost: best.ckpt is missing, or was written after the "
            "checkpoint that the run resumed from; the best counts from here"
        )
        self.best_k_models, self.best_model_score, self.best_model_path = {}, None, ""
        self.step, self.since, self._written = None, trainer.global_step, None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.step = checkpoint["global_step"]  # at most, in checkpoints of earlier versions

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "step": self.step, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = os.path.join(str(self.dirpath), "best.ckpt")  # the run's folder may have been moved
        places = {key: here for key in ("best_model_path", "kth_best_model_path") if state_dict[key]}
        scores = {here: state_dict["best_model_score"]} if state_dict["best_k_models"] else {}
        super().load_state_dict({**state_dict, **places, "best_k_models": scores, "dirpath": self.dirpath})
        self.step, self.since = state_dict.get("step", self.step), state_dict.get("since", 0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        known = -1 if self.best_model_score is None or self.step is None else self.step
        written: int | None = trainer.strategy.broadcast(self._step_on_disk() if trainer.is_global_zero else None)
        self._written = written if written is not None and written > known else None
        if written is None and known >= 0:
            self._written = known

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.limit_val_batches != 0:  # else there is no score, of which Lightning would warn
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = self._score(trainer)
        if score is not None and not self._exceeds(score) and self._should_replace(trainer):
            self.forget(trainer)
        super().on_validation_end(trainer, pl_module)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether to save; Lightning would save a first epoch whatever its score."""
        saves = (current is None or not bool(current.isnan())) and super().check_monitor_top_k(trainer, current)
        if saves:
            self.step, self._written = trainer.global_step, None
        return saves

    def _score(self, trainer: Trainer) -> float | None:
        """Of the validation that has just ended; None if it cannot be the best."""
        score = float(trainer.callback_metrics.get(self.metric, math.nan))
        return None if trainer.sanity_checking or math.isnan(score) else score

    def _exceeds(self, score: float) -> bool:
        known = worst(self.metric) if self.best_model_score is None else float(self.best_model_score)
        return improves(self.metric, score, known)

    def _should_replace(self, trainer: Trainer) -> bool:
        """Whether this validation would have been saved, if the run were the one that wrote the files."""
        return self._written is not None and trainer.global_step >= min(
            self._written, trainer.estimated_stepping_batches
        )

    def _step_on_disk(self) -> int | None:
        """Of the newer of the two files; None without best.ckpt."""
        best, predictions = self.run.checkpoints / "best.ckpt", self.run.best_predictions
        if not best.is_file():
            return None
        step: int = load_safely(best, mmap=True, verify=False)["global_step"]
        return max(step, step_of(predictions)) if predictions.is_file() else step


class BestPredictions(Callback):
    """Saves a task's `evaluation` after each validation whose weights `best` is about to save.

    A run that ends without having replaced files that are not its own deletes them: it predicts with its last weights.

    Args:
        best: the callback that saves best.ckpt, after this one.
    """

    def __init__(self, run: RunFolder, best: Best) -> None:
        self.run, self.best = run, best

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        evaluation: Evaluation | None = getattr(pl_module, "evaluation", None)
        if evaluation is not None and trainer.is_global_zero and self.best.improves(trainer):
            save_evaluation(evaluation, self.run.best_predictions)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.best.is_lost:
            self.best.forget(trainer)
            if trainer.is_global_zero:
                for path in (self.run.checkpoints / "best.ckpt", self.run.best_predictions):
                    path.unlink(missing_ok=True)
