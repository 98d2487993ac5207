"""How fast a run is and how long it still takes."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

WARM_UP = 3


class Pace(Callback):
    """Images a second over training batches, all ranks together, and seconds spent, over resumes too.

    Left out of the speed: the first `WARM_UP` batches of a process (allocators, compilers), the first batch of each
    epoch (its workers start), and whatever is not training, as validation.
    """

    def __init__(self) -> None:
        self._images = 0
        self._seconds = 0.0
        self._batches = 0
        self._earlier = 0.0
        self._began: float | None = None
        self._since: float | None = None
        self._unsettled = WARM_UP
        self._epoch_began: float | None = None
        self._epoch_seconds: float | None = None

    @property
    def images_per_second(self) -> float | None:
        """None until a batch after the warm-up was timed."""
        return self._images / self._seconds if self._seconds else None

    @property
    def seconds(self) -> float:
        """Since the run began, without the time in which it was interrupted."""
        return self._earlier + (0.0 if self._began is None else time.monotonic() - self._began)

    def seconds_left(self, trainer: Trainer, batches_done: int) -> float | None:
        """To the end of `max_epochs`; None where no end is set or nothing is known yet.

        Epochs to come are taken to be as long as the last whole one, validation included; phases may differ.
        """
        epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
        if epochs < 0 or not self._batches:
            return None
        batches = float(trainer.num_training_batches)
        a_batch = self._seconds / self._batches
        an_epoch = a_batch * batches if self._epoch_seconds is None else self._epoch_seconds
        return a_batch * (batches - batches_done) + an_epoch * (epochs - trainer.current_epoch - 1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since, self._epoch_began = None, time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._unsettled:
            self._unsettled -= 1
        elif self._since is not None:
            self._images += images_in(batch) * trainer.world_size
            self._seconds += now - self._since
            self._batches += 1
        self._since = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._epoch_began is not None:  # not where a run went on within this epoch
            self._epoch_seconds = time.monotonic() - self._epoch_began

    def state_dict(self) -> dict[str, Any]:
        return {"images": self._images, "seconds": self._seconds, "batches": self._batches, "run": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._images, self._seconds = state_dict["images"], state_dict["seconds"]
        self._batches, self._earlier = state_dict["batches"], state_dict["run"]


def images_in(batch: Any) -> int:
    """Of our `Batch`, or of the usual tuple of images and targets."""
    return len(batch[0]) if isinstance(batch, (list, tuple)) else len(batch)


def duration(seconds: float) -> str:
    """`"48 s"`, `"1.2 min"`, `"3.4 h"`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
