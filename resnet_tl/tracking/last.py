"""last.ckpt: where a run goes on after a stop, at the end of an epoch or in the middle of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_tl.checkpoint import load_safely


class Last(Checkpoint):
    """Writes `last.ckpt` after every epoch, every so many optimizer steps, and at the end.

    It is written just before the next batch is trained on, when all is done that belongs to the step before: its
    validation, its rows in the loggers, its schedulers.

    Args:
        folder: of the file.
        every: optimizer steps; None: after epochs alone.
    """

    def __init__(self, folder: Path, every: int | None = None) -> None:
        self.path, self.every = folder / "last.ckpt", every
        self._saved = 0
        self._whole = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if step != self._saved and (batch_idx == 0 or (self.every and step % self.every == 0)):
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Between two batches, or within a validation: then the run goes on from its beginning."""
        self._whole = False
        trainer.save_checkpoint(self.path, weights_only=False)
        self._whole, self._saved = True, trainer.global_step

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if not self._whole:
            loops = checkpoint["loops"]["fit_loop"]
            settle(loops, validating=trainer.validating)  # type: ignore[attr-defined]
            checkpoint["epoch"] = max(loops["epoch_progress"]["current"]["started"] - 1, 0)


def epochs_done(checkpoint: Path) -> int:
    """How many epochs of the run were over when it was written. Raises WeightsError for a damaged file."""
    done: int = load_safely(checkpoint, mmap=True)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return done


def settle(loops: dict[str, Any], *, validating: bool) -> None:
    """Make Lightning's counters those of a Trainer between two batches.

    They may count a batch that was fetched and not trained on, and an epoch that this batch would have been the first
    of. Within a validation, its counters are set to a form that Lightning restarts by running it from its beginning.
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
