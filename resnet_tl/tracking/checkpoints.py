"""How the Trainer writes checkpoints: atomically, as tensors and plain Python, under two fixed names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from resnet_tl.structures.scores import improves as improves_on
from resnet_tl.structures.scores import lower_is_better, worst
from resnet_tl.tensor_file import load_safely, save_atomically, to_plain


class SafeCheckpointIO(CheckpointIO):
    """`Trainer(plugins=[SafeCheckpointIO()])`: always reads with `weights_only=True`.

    Attributes:
        seconds: spent on saving so far.
    """

    seconds = 0.0

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        start = time.monotonic()
        save_atomically(to_plain(checkpoint), Path(path))
        self.seconds += time.monotonic() - start

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_safely(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


class Best(ModelCheckpoint):
    """Saves `best.ckpt`: the epoch with the best `monitor` (the first of equals), never one where it is NaN."""

    def __init__(self, folder: Path, monitor: str) -> None:
        mode = "min" if lower_is_better(monitor) else "max"
        super().__init__(folder, "best", monitor=monitor, mode=mode, enable_version_counter=False)

    @property
    def state_key(self) -> str:
        """That of a ModelCheckpoint, by which checkpoints hold this one's state."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether to save; Lightning would save a first epoch whatever its score."""
        return (current is None or not bool(current.isnan())) and super().check_monitor_top_k(trainer, current)


def improves(trainer: Trainer, best: ModelCheckpoint) -> bool:
    """Whether `best` is about to save the weights of the validation that has just ended."""
    monitor = str(best.monitor)
    score, highest = trainer.callback_metrics.get(monitor), best.best_model_score
    if trainer.sanity_checking or score is None:
        return False
    return improves_on(monitor, float(score), worst(monitor) if highest is None else float(highest))
