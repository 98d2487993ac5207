"""Norms and speed of a real, tiny training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from resnet_tl.tracking.loggers.drawings import Drawing
from resnet_tl.tracking.loggers.measure import Measure
from resnet_tl.tracking.loggers.run_logger import Outcome, RunLogger
from resnet_tl.tracking.pace import Pace


class Meter(RunLogger, CSVLogger):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.measured: list[tuple[int, dict[str, float], str]] = []

    def measure(self, values: Mapping[str, float], step: int, row: str) -> None:
        self.measured.append((step, dict(values), row))

    def send(self, metrics: Mapping[str, float], step: int | None) -> None:
        pass

    def show(self, name: str, drawing: Drawing, step: int) -> None:
        raise AssertionError

    def end(self, outcome: Outcome) -> None:
        raise AssertionError


def test_gradients_of_logged_steps_and_trained_weights_of_epochs(tiny: Any, batches: Any, tmp_path: Path) -> None:
    norms: dict[int, float] = {}

    class Staged(tiny):  # type: ignore[misc]
        def stages(self) -> dict[str, Any]:
            return {"stem": [self.net[1]], "norm": [self.net[2]], "head": [self.net[3]]}

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            squares = [weight.grad.square().sum() for weight in self.parameters() if weight.grad is not None]
            norms[self.global_step] = float(torch.stack(squares).sum().sqrt())

    module, meter, pace = Staged(), Meter(tmp_path), Pace()
    module.net[1].requires_grad_(False)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=[meter], callbacks=[pace, Measure(pace)], log_every_n_steps=2,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, batches(), batches(8))
    of_steps = [(step, values) for step, values, row in meter.measured if row == "train/loss"]
    assert [step for step, _ in of_steps] == [1, 3, 5, 7]
    for step, values in of_steps:
        assert values == {"train/grad_norm": pytest.approx(norms[step])}
    first, second = (values for _, values, row in meter.measured if row == "val/loss")
    assert set(second) == {"epoch", "weights/norm", "weights/head", "speed/images_per_s", "speed/waiting"}
    assert first["weights/head"] != second["weights/head"]
    head = torch.cat([weight.detach().flatten() for weight in module.net[3].parameters()])
    assert second["weights/head"] == pytest.approx(float(head.norm()))
    assert 0 < second["speed/waiting"] < 1


def test_speed_is_that_of_each_epoch(tmp_path: Path) -> None:
    meter, pace = Meter(tmp_path), Pace()
    measure, module = Measure(pace), torch.nn.Linear(1, 1)
    trainer: Any = SimpleNamespace(loggers=[meter], current_epoch=0, global_step=1)
    task: Any = SimpleNamespace(parameters=module.parameters, device=torch.device("cpu"))
    pace.load_state_dict({"images": 90, "batches": 9, "seconds": 9.0, "waited": 1.0, "run": 10.0})
    pace.on_train_start(trainer, task)
    for batches, images, seconds, waited in ((10, 100, 10.0, 1.5), (12, 300, 12.0, 1.5), (12, 300, 12.0, 1.5)):
        pace.load_state_dict({"images": images, "batches": batches, "seconds": seconds, "waited": waited, "run": 10.0})
        measure.on_train_epoch_end(trainer, task)
        pace.on_train_epoch_start(trainer, task)
    assert [values for _, values, _ in meter.measured] == [
        {"epoch": 0, "speed/images_per_s": 10.0, "speed/waiting": 0.5},
        {"epoch": 0, "speed/images_per_s": 100.0, "speed/waiting": 0.0},
        {"epoch": 0},
    ]
