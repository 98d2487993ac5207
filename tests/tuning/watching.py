"""A fit that records the network's batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Callback, LightningDataModule, LightningModule, Trainer

from resnet_tl.structures.records import Batch, Features


class Watch(Callback):
    """Records the batches of training and validation."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.validated: list[Batch] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        self.batches.append(batch)

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.validated.append(batch)

    @property
    def kinds(self) -> list[bool]:
        return [isinstance(batch.images, Features) for batch in self.batches]


def fit_watched(
    task: LightningModule, data: LightningDataModule, folder: Path, resume: Path | None = None, **options: Any
) -> tuple[Watch, dict[str, float]]:
    """Returns the batches of two epochs and the final metrics; `options` are the Trainer's."""
    watch = Watch()
    trainer = Trainer(
        **{
            "max_epochs": 2, "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
            "enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": folder,
            "num_sanity_val_steps": 0, "callbacks": [watch], **options,
        }
    )  # fmt: skip
    trainer.fit(task, data, ckpt_path=resume, weights_only=True)
    return watch, {name: float(value) for name, value in trainer.callback_metrics.items()}
