"""Seven schedules through every kind of plan: the rate of each step, as logged, is rate x schedule x phase's factor."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule, build_optimizer, build_schedule, parameter_groups
from resnet_tl.tuning.resolve import resolve

LR, EPOCHS, STEPS = 0.3, 6, 3
LOSSES = [1.0, 0.9, 0.95, 0.97, 0.8, 0.85]
"""What validation logs, epoch by epoch."""


def sawtooth(steps: int, teeth: int) -> Callable[[int], float]:
    """A custom schedule."""
    return lambda step: 1 - (step * teeth % steps) / steps


CONSTANT = Schedule("constant")
SCHEDULES = {
    "cosine": Schedule("cosine", final=0.01),
    "warm-up and cosine": Schedule("cosine", warmup_epochs=0.7),
    "one-cycle": Schedule("torch.optim.lr_scheduler.OneCycleLR", options={"cycle_momentum": False}),
    "multistep": Schedule("step", milestones=[0.5, 1.4], gamma=0.2),
    "poly": Schedule("poly", power=0.9),
    "plateau": Schedule("plateau", patience=0, gamma=0.5),
    "lambda": Schedule(f"{__name__}.sawtooth", options={"teeth": 2}),
}

PLANS = {
    "no freezing": lambda **_: [Phase()],
    "one unfreeze": lambda **restart: [Phase(["head"], epochs=2), Phase(**restart)],
    "gradual": lambda **restart: [
        Phase(["head"], epochs=2), Phase(["layer", "head"], epochs=2, **restart), Phase(**restart)
    ],
}  # fmt: skip
WITH_FACTORS = {
    "no freezing": [Phase(lr={"stem": 0.1}, layer_decay=0.5)],
    "one unfreeze": [Phase(["head"], epochs=2), Phase(layer_decay=0.3, restart=True)],
    "gradual": [
        Phase(["head"], epochs=2, lr={"head": 2.0}),
        Phase(["layer", "head"], epochs=2, lr={"layer": 0.7}),
        Phase(layer_decay=0.5, restart=True),
    ],
}


def closed_form(name: str, step: int, steps: int, epoch_losses: list[float]) -> float:
    """The factor of `step` of `steps`; `epoch_losses`: of the epochs before it, since the schedule started."""
    if name == "cosine":
        return 0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2
    if name == "warm-up and cosine":
        warm = 2  # 0.7 epochs of 3 steps
        return (step + 1) / 3 if step < warm else (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
    if name == "multistep":
        return 0.2 ** ((step >= 1.5) + (step >= 4.2))
    if name == "poly":
        return (1 - step / steps) ** 0.9
    if name == "lambda":
        return 1 - (2 * step % steps) / steps
    if name == "one-cycle":
        up = 0.3 * steps - 1
        low, high, part = (0.04, 1, step / up) if step <= up else (1, 0.04 / 1e4, (step - up) / (steps - 1 - up))
        return high + (low - high) * (1 + math.cos(math.pi * part)) / 2
    twin = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = ReduceLROnPlateau(twin, factor=0.5, patience=0)
    for loss in epoch_losses:
        plateau.step(loss)
    return twin.param_groups[0]["lr"]


class Small(LightningModule):
    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.stem, self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.schedule = schedule

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"stem": [self.stem], "layer": [self.layer], "head": [self.head]}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.head(self.layer(self.stem(batch[0]))).pow(2).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", torch.tensor(LOSSES[self.current_epoch], dtype=torch.float64))

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(Optimizer("sgd", LR), parameter_groups(self.stages(), 0.0))
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.configure_schedule(optimizer, steps, STEPS)}

    def configure_schedule(self, optimizer: Any, steps: int, steps_per_epoch: float) -> Any:
        return build_schedule(self.schedule, optimizer, LR, steps, steps_per_epoch)


class Rates(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if "lr/head" in metrics:
            self.rows.append(metrics)


def fit(
    module: LightningModule, phases: list[Phase], folder: Path, resume: Path | None = None, **options: Any
) -> Rates:
    """Returns what was logged, step by step, and writes `last.ckpt`."""
    logged = Rates()
    given = {"max_epochs": EPOCHS, "logger": logged, "log_every_n_steps": 1, "num_sanity_val_steps": 0, **options}
    trainer = Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        default_root_dir=folder, callbacks=[FineTuning(Tuning(phases, allow_untrained=True))], **given,
    )  # fmt: skip
    data = DataLoader(TensorDataset(torch.randn(2 * STEPS, 4)), batch_size=2)
    trainer.fit(module, data, DataLoader(TensorDataset(torch.randn(1, 4))), ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return logged


def rates(schedule: Schedule, phases: list[Phase], folder: Path, **options: Any) -> list[dict[str, float]]:
    return fit(Small(schedule), phases, folder, **options).rows


def compare(name: str, phases: list[Phase], logged: list[dict[str, float]]) -> None:
    assert len(logged) == EPOCHS * STEPS
    starts = [0]
    for phase in phases[:-1]:
        starts.append(starts[-1] + (phase.epochs or 0))
    restarts = [0, *(start for start, phase in zip(starts, phases, strict=True) if phase.restart), EPOCHS]
    for step, row in enumerate(logged):
        epoch = step // STEPS
        number = sum(epoch >= start for start in starts) - 1
        begun = max(start for start in restarts if start <= epoch)
        end = min(start for start in restarts if start > epoch)
        factor = closed_form(name, step - begun * STEPS, (end - begun) * STEPS, LOSSES[begun:epoch])
        phase, stages = phases[number], ["stem", "layer", "head"]
        assert row["phase"] == number
        for depth, stage in enumerate(stages):
            own = phase.lr.get(stage, 1.0) * phase.layer_decay ** (2 - depth)
            trained = phase.train == "all" or stage in phase.train
            assert row[f"lr/{stage}"] == pytest.approx(LR * factor * own * trained, abs=1e-12), (step, stage)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_any_schedule_through_any_plan(name: str, plan: str, tmp_path: Path) -> None:
    phases = PLANS[plan]()
    compare(name, phases, rates(SCHEDULES[name], phases, tmp_path))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_and_restarts(name: str, plan: str, tmp_path: Path) -> None:
    phases = WITH_FACTORS[plan]
    compare(name, phases, rates(SCHEDULES[name], phases, tmp_path))


def test_the_closed_form_of_one_cycle_is_torchs_own() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = OneCycleLR(optimizer, max_lr=1.0, total_steps=18, cycle_momentum=False)
    for step in range(18):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(closed_form("one-cycle", step, 18, []), abs=1e-12)
        optimizer.step()
        if step < 17:
            cycle.step()


def test_a_torch_scheduler_that_counts_epochs(tmp_path: Path) -> None:
    schedule = Schedule("torch.optim.lr_scheduler.CosineAnnealingLR", interval="epoch")
    logged = rates(schedule, [Phase()], tmp_path)
    for step, row in enumerate(logged):
        expected = LR * (1 + math.cos(math.pi * (step // STEPS) / EPOCHS)) / 2
        assert row["lr/head"] == pytest.approx(expected, abs=1e-12)


def test_accumulated_batches_count_as_one_step(tmp_path: Path) -> None:
    phases = [Phase(["head"], epochs=2), Phase(restart=True)]
    logged = rates(Schedule("poly", power=1.0), phases, tmp_path, accumulate_grad_batches=2)
    heads = [row["lr/head"] / LR for row in logged]
    assert sorted({round(rate, 9) for rate in heads}, reverse=True) == [1.0, *(n / 8 for n in range(7, 0, -1))]


class Plain(LightningModule):
    """Cannot build its schedule again, or has none."""

    def __init__(self, scheduled: bool) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.scheduled = scheduled

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"body": [self.body], "head": [self.head]}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.head(self.body(batch[0])).pow(2).mean()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), LR)
        return [optimizer], [ExponentialLR(optimizer, 0.9)] if self.scheduled else []


@pytest.mark.filterwarnings("ignore:.*val_dataloader.*")
def test_a_restart_needs_a_module_that_can_build_its_schedule(tmp_path: Path) -> None:
    lpft = resolve(Tuning("lpft", allow_untrained=True), ["body", "head"], EPOCHS)
    phases = [phase.settings for phase in lpft.phases]
    with pytest.raises(RecipeError, match="Plain needs a method configure_schedule"):
        fit(Plain(True), phases, tmp_path)
    logged = fit(Plain(False), phases, tmp_path).rows  # a rate that stays has nothing to restart
    assert [row["lr/head"] for row in logged] == pytest.approx([LR] * 9 + [0.1 * LR] * 9)


@pytest.mark.parametrize("restart", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_made_longer_resumes_where_the_longer_schedule_is(name: str, restart: bool, tmp_path: Path) -> None:
    schedule, phases = SCHEDULES[name], [Phase(["head"], epochs=2), Phase(restart=restart)]
    rates(schedule, phases, tmp_path, max_epochs=4)
    resumed = rates(schedule, phases, tmp_path, resume=tmp_path / "last.ckpt")
    whole = rates(schedule, phases, tmp_path)
    for row, expected in zip(resumed, whole[4 * STEPS :], strict=True):
        assert row == pytest.approx(expected, abs=1e-12)


def test_a_warm_up_longer_than_a_span_takes_half_of_it(tmp_path: Path) -> None:
    phases = [Phase(["head"], epochs=4), Phase(restart=True)]  # 12 and 6 steps
    rows = rates(Schedule("constant", warmup_epochs=3), phases, tmp_path)  # 9 steps
    first, second = [step / 10 for step in range(1, 10)] + [1] * 3, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]
    assert [row["lr/head"] / LR for row in rows] == pytest.approx([*first, *second])


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Schedule("cosin"), "expected one of constant, .*; did you mean 'cosine'"),
        (Schedule("no.such.thing"), "cannot import 'no.such.thing': there is no module 'no'"),
        (Schedule("math.no_such"), "cannot import 'math.no_such'"),
        (Schedule("math.sqrt"), "expected a subclass of torch's LRScheduler, or a function"),
        (Schedule("os.system"), "expected a subclass of torch's LRScheduler, or a function"),
        (Schedule("torch.optim.lr_scheduler.StepLR"), "rejects its arguments: .*step_size"),
        (Schedule("plateau", options={"patent": 1}), "rejects its arguments"),
        (Schedule("plateau", warmup_epochs=1), "warmup_epochs does not apply to 'plateau'"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule: Schedule, message: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(RecipeError, match=message):
        build_schedule(schedule, optimizer, 1.0, 16, 4)
