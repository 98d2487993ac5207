"""head.ckpt: the network at the end of the phases that train its head alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Plan

HEAD = "head.ckpt"
KEPT = {"epoch", "global_step", "state_dict"}
"""What of Lightning's content the file holds; the task adds what is needed to predict."""


class HeadCheckpoint(Checkpoint):
    """Saves `head.ckpt` once, before the first step that trains more than the head; never, if there is no such step.

    It has what other checkpoints have for predictions (with `tuning.ema` the averages), and nothing to resume from. A
    run that is stopped before that step saves it when it resumes.

    Args:
        folder: of the file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / HEAD
        self._saving = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0 and trainer.current_epoch == end_of_head(_plan(trainer)):
            self._saving = True
            trainer.save_checkpoint(self.path, weights_only=False)
            self._saving = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # Lightning calls a Checkpoint after the other callbacks: FineTuning has put the averages in by now.
        if self._saving:
            for key in checkpoint.keys() - KEPT:
                del checkpoint[key]


def end_of_head(plan: Plan) -> int | None:
    """Returns the epoch in which a plan begins to train more than the head, and the neck, after phases that train these
    alone; None if it has no such phases, or only such."""
    for phase in plan.lasting:
        *_, head = phase.factors
        if not {head, "neck"}.issuperset(phase.trained):
            return phase.start or None
    return None


def _plan(trainer: Trainer) -> Plan:
    (tuning,) = (each for each in trainer.callbacks if isinstance(each, FineTuning))  # type: ignore[attr-defined]
    return tuning.phase_state.plan
