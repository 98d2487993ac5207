"""last.ckpt: where a stopped run resumes, between epochs or within one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_tl.errors import WeightsError
from resnet_tl.tensor_file import load_safely
from resnet_tl.tracking.limits import is_over

ENDS_EARLY = "ends_early"
"""Where last.ckpt holds the planned epochs of a run that a callback, such as EarlyStopping, has ended before them."""


class Last(Checkpoint):
    """Saves `last.ckpt` after every epoch, every so many optimizer steps, and at the end.

    It is saved just before the next batch is trained on, when everything that belongs to the previous step is done:
    validation, logged rows, schedulers.

    Args:
        folder: of the file.
        every: optimizer steps; None: only after epochs.
    """

    def __init__(self, folder: Path, every: int | None = None) -> None:
        self.path, self.every = folder / "last.ckpt", every
        self._saved_step = 0
        self._saving = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_step = trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that resumes in a validation counts the batch by which `normalize_counters` makes Lightning repeat it.
        seen: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
        seen.ready = seen.started = seen.processed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if step != self._saved_step and (batch_idx == 0 or (self.every and step % self.every == 0)):
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Call it between two batches, or within a validation, which then runs again from its start on resume."""
        self._saving = True
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saving, self._saved_step = False, trainer.global_step

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._saving:  # not for best.ckpt, which Lightning saves at a moment of its own
            loops = checkpoint["loops"]["fit_loop"]
            normalize_counters(loops, validating=trainer.validating)  # type: ignore[attr-defined]
            checkpoint["epoch"] = max(loops["epoch_progress"]["current"]["started"] - 1, 0)
            if trainer.should_stop and not is_over(trainer):
                checkpoint[ENDS_EARLY] = trainer.max_epochs

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if checkpoint.get(ENDS_EARLY) == trainer.max_epochs:  # else the run is made longer
            trainer.should_stop = True


def epochs_done(checkpoint: Path) -> int:
    """The number of epochs completed at this checkpoint. Raises WeightsError for a damaged or another file."""
    done: Any = load_safely(checkpoint, mmap=True, verify=False)
    for key in ("loops", "fit_loop", "epoch_progress", "current", "processed"):
        done = done.get(key) if isinstance(done, dict) else None
    if not isinstance(done, int):
        raise WeightsError(f"{checkpoint}: not the checkpoint of a run: it does not hold how many epochs are done")
    return done


def normalize_counters(loops: dict[str, Any], *, validating: bool) -> None:
    """Sets Lightning's counters to those of a Trainer between two batches.

    They may count a batch that was fetched but not trained on, and the epoch that it would have been the first batch
    of. Within a validation, they are set so that Lightning runs it again from its start.
    """
    batches, epochs = loops["epoch_loop.batch_progress"], loops["epoch_progress"]
    for count in (batches["total"], batches["current"]):
        count["ready"] = count["started"] = count["processed"] = count["completed"]
    batches["is_last_batch"] = validating and batches["is_last_batch"]
    if batches["current"]["completed"] == 0:
        for count in (epochs["total"], epochs["current"]):
            count["ready"] = count["started"] = count["processed"]
    if validating:
        seen = loops["epoch_loop.val_loop.batch_progress"]
        seen["current"] = dict.fromkeys(seen["current"], 0)
        seen["total"] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
