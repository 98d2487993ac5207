"""How fast a run is and how long it will still take."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer

from resnet_tl.tracking.limits import time_left

WARM_UP = 3


class Timed(NamedTuple):
    """Batches, their images over all ranks, the seconds that they took, and those in which training waited for data."""

    batches: int
    images: int
    seconds: float
    waited: float


class Pace(Callback):
    """Training images per second over all ranks, and the seconds that the run has taken, resumes included.

    The speed excludes the first `WARM_UP` batches of a process (allocators and compilers warm up), the first batch of
    each epoch (its workers start), and anything but training, such as validation.
    """

    def __init__(self) -> None:
        self._images = 0
        self._seconds = 0.0
        self._batches = 0
        self._waited = 0.0
        self._spent = dict.fromkeys(("training", "waiting for data", "validation"), 0.0)
        self._mark: float | None = None
        self._seconds_before = 0.0
        self._start: float | None = None
        self._last_batch_end: float | None = None
        self._warm_up_left = WARM_UP
        self._epoch_start: float | None = None
        self._before = self.timed
        self._besides = 0.0
        """The seconds of the last whole epoch in which it did not train, such as validation."""

    @property
    def images_per_second(self) -> float | None:
        """None until a batch after the warm-up was timed."""
        return self._images / self._seconds if self._seconds else None

    @property
    def timed(self) -> Timed:
        """Of the timed batches since the run started."""
        return Timed(self._batches, self._images, self._seconds, self._waited)

    @property
    def of_epoch(self) -> Timed:
        """The same of this epoch, or of what a resumed run has done of it."""
        return Timed(*(now - before for now, before in zip(self.timed, self._before, strict=True)))  # type: ignore[arg-type]

    @property
    def waiting(self) -> float:
        """The share of the timed batches' time, 0...1, in which training waited for the next batch."""
        return self._waited / self._seconds if self._seconds else 0.0

    @property
    def seconds(self) -> float:
        """Since the run started, without the time in which it was stopped."""
        return self._seconds_before + (0.0 if self._start is None else time.monotonic() - self._start)

    def shares(self, checkpoints: float) -> dict[str, float]:
        """Returns the shares of `seconds`, 0...1, of what the run did.

        Args:
            checkpoints: seconds spent on them in this process.
        """
        spent = {**self._spent, "checkpoints": checkpoints}
        return {name: seconds / self.seconds for name, seconds in spent.items()} if self.seconds else {}

    def seconds_left(self, trainer: Trainer, batches_done: int) -> float | None:
        """An estimate up to `max_epochs`, `max_steps` or `max_time`, whichever comes first; None without `max_epochs`,
        or before a batch was timed.

        Assumes the pace of this epoch's batches for all that are left, and between them as much time for other work,
        such as validation, as in the last whole epoch; later phases may differ.
        """
        epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
        if epochs < 0 or not self._batches:
            return None
        if trainer.should_stop:
            return 0.0
        batches = float(trainer.num_training_batches)
        left = batches * (epochs - trainer.current_epoch) - batches_done
        if trainer.max_steps > 0:
            left = min(left, (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
        of_later_epochs = max(0.0, left - (batches - batches_done))
        seconds = self._per_batch * left + self._besides * of_later_epochs / batches
        return min([seconds, *time_left(trainer)])

    @property
    def _per_batch(self) -> float:
        timed = self.of_epoch if self.of_epoch.batches else self.timed
        return timed.seconds / timed.batches

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start, self._before = time.monotonic(), self.timed

    def _spend(self, name: str | None) -> None:
        """Adds the time since the last call to `name`; None: to nothing."""
        now = time.monotonic()
        if name is not None and self._mark is not None:
            self._spent[name] += now - self._mark
        self._mark = now

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_batch_end, self._epoch_start, self._before = None, time.monotonic(), self.timed
        self._spend(None)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._spend("waiting for data")
        if self._last_batch_end is not None and not self._warm_up_left:
            self._waited += time.monotonic() - self._last_batch_end

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        self._spend("training")
        if self._warm_up_left:
            self._warm_up_left -= 1
        elif self._last_batch_end is not None:
            self._images += images_in(batch) * trainer.world_size
            self._seconds += now - self._last_batch_end
            self._batches += 1
        self._last_batch_end = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_batch_end = None
        self._spend(None)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._spend(None if trainer.sanity_checking else "validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._epoch_start is not None and self._batches:  # no start if the run resumed within this epoch
            trained = self._per_batch * float(trainer.num_training_batches)
            self._besides = max(0.0, time.monotonic() - self._epoch_start - trained)

    def state_dict(self) -> dict[str, Any]:
        counts = {"images": self._images, "batches": self._batches}
        return {**counts, "seconds": self._seconds, "waited": self._waited, "spent": self._spent, "run": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._images, self._seconds = state_dict["images"], state_dict["seconds"]
        self._batches, self._seconds_before = state_dict["batches"], state_dict["run"]
        self._waited = state_dict.get("waited", 0.0)  # absent in checkpoints of earlier versions
        self._spent |= state_dict.get("spent", {})


def images_in(batch: Any) -> int:
    """The size of a `Batch`, or of a tuple of images and targets."""
    return len(batch[0]) if isinstance(batch, (list, tuple)) else len(batch)


def duration(seconds: float) -> str:
    """`"48 s"`, `"1.2 min"`, `"3.4 h"`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
