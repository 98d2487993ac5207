"""A tiny LightningModule, trained for real."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.terminal import terminal_log


class Tiny(LightningModule):
    """Logs what a task logs; its validations report `accuracies`, one per epoch."""

    def __init__(self, accuracies: list[float] | None = None, stop_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.accuracies, self.stop_at = accuracies, stop_at

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.global_step == self.stop_at:
            raise RuntimeError("power cut")
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss.detach())
        self.log("lr/head", self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        outputs = self.net(batch[0])
        self.log("val/loss", nn.functional.cross_entropy(outputs, batch[1]))
        claimed = self.accuracies[self.current_epoch] if self.accuracies else None
        self.log("val/acc", (outputs.argmax(1) == batch[1]).float().mean() if claimed is None else claimed)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def loader(count: int = 16) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 2, 2, generator=generator)
    return DataLoader(TensorDataset(images, (images.mean((1, 2, 3)) > 0).long()), batch_size=4)


@pytest.fixture
def tiny() -> type[Tiny]:
    return Tiny


@pytest.fixture
def batches() -> Any:
    return loader


@pytest.fixture
def train(tmp_path: Path) -> Any:
    """Trains a module as a run in `tmp_path / name`; returns the Trainer."""

    def fit(module: LightningModule, epochs: int = 3, name: str = "run", resume: Path | None = None, **options: Any):
        run = RunFolder(tmp_path / name)
        run.path.mkdir(exist_ok=True)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=[MetricsCsv(run.metrics)],
            callbacks=callbacks(run, "val/acc"),
            plugins=[SafeCheckpointIO()],
            enable_model_summary=False,
            log_every_n_steps=1,
            **options,
        )
        with terminal_log():
            trainer.fit(module, loader(), loader(8), ckpt_path=resume)
        return trainer

    return fit


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
