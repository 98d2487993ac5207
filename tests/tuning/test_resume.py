"""Random states, gradients and sums as a dict and back; a custom module in a user's own Trainer."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from power_cut import PowerCut
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from resnet_tl.tracking.last import Last
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.resume import _on_device, random_state, set_random_state

CPU = torch.device("cpu")
BATCHES = 7


def test_random_states_survive_a_file(tmp_path: Path) -> None:
    torch.save(random_state(CPU), tmp_path / "state")
    drawn = draws()
    set_random_state(torch.load(tmp_path / "state", weights_only=True), CPU)
    assert draws() == drawn


def test_float64_is_not_moved_to_a_device_without_it() -> None:
    rate = torch.tensor(0.1, dtype=torch.float64)  # as rates are logged
    assert torch.equal(_on_device({"rate": rate}, torch.device("mps"))["rate"], rate)


def draws() -> tuple[float, ...]:
    return random.gauss(0, 1), np.random.normal(), float(torch.randn(()))


class Loader:
    """A custom loader that can resume anywhere: batches in an order drawn again every epoch."""

    def __init__(self) -> None:
        self.sampler, self.start, self.given = self, 0, 0
        self.epoch = 0
        self.batches = [torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(BATCHES)]

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[torch.Tensor]:
        self.given = self.start
        order = torch.randperm(BATCHES, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        for number in order[self.start :]:
            self.given += 1
            yield self.batches[number]

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "start": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.start = state["epoch"], state["start"]


class Foreign(LightningModule):
    """Dropout, noise of every generator, momentum, means over the epoch, a metric object."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 2))
        self.mean = MeanMetric()

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"stem": [self.stem], "head": [self.head]}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        noise = random.random() + np.random.rand()
        loss = (self.head(self.stem(batch + noise).mean((2, 3))) ** 2).mean() + 0.1
        self.log("train/loss", loss.detach(), on_step=True, on_epoch=True)
        self.log("train/largest", loss.detach(), on_step=False, on_epoch=True, reduce_fx="max")
        if batch_idx == 0:
            self.log("train/first", loss.detach(), on_step=False, on_epoch=True)
        self.mean.update(loss.detach())
        self.log("train/mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.head(self.stem(batch).mean((2, 3))).mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val/loss"}}


def fit(
    folder: Path,
    keeper: Callback,
    *,
    loader: Any = None,
    resume: Path | None = None,
    cut: int = 99,
    ema: Any = 0.8,
    epochs: int = 3,
    **options: Any,
) -> tuple[Foreign, Any, str]:
    """Returns the module, the optimizer's state, and metrics.csv."""
    folder.mkdir(exist_ok=True)
    tuning = Tuning([Phase(["head"], epochs=1), Phase()], ema=ema, allow_untrained=True)
    logger = MetricsCsv(folder / "metrics.csv")
    if resume is not None:
        logger.truncate_after(torch.load(resume, weights_only=True)["global_step"])
    else:
        random.seed(0)
        np.random.seed(0)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=[logger], enable_progress_bar=False, log_every_n_steps=1,
        default_root_dir=folder, enable_model_summary=False, callbacks=[FineTuning(tuning), keeper, PowerCut(cut)],
        **options,
    )  # fmt: skip
    module = Foreign()
    trainer.fit(module, loader or Loader(), validation(), ckpt_path=resume, weights_only=True)
    return module, trainer.optimizers[0].state_dict()["state"], (folder / "metrics.csv").read_text()


def validation() -> DataLoader:
    return DataLoader(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(9)), batch_size=2)


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one[0].state_dict(), other[0].state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(one[1], other[1], rtol=0, atol=0)
    assert one[2:] == other[2:]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"accumulate_grad_batches": 3},
    {"val_check_interval": 2},
    {"precision": "64-true"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_custom_modules_and_loaders_resume_bit_for_bit_within_an_epoch(options: dict[str, Any], tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Last(tmp_path / "whole", every=1), **options)
    midway = set()
    for cut in (2, 6, 12, 17):
        folder = tmp_path / str(cut)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(folder, Last(folder, every=1), cut=cut, **options)
        saved = torch.load(folder / "last.ckpt", weights_only=True) if (folder / "last.ckpt").exists() else None
        if saved is not None:
            midway.add(saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"])
            assert_equal(fit(folder, Last(folder, every=1), resume=folder / "last.ckpt", **options), whole)
    assert len(midway - {0}) >= 2


def test_a_plateau_schedule_steps_at_the_end_of_the_epoch_in_which_a_run_resumes(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Last(tmp_path / "whole", every=1), epochs=4)
    rates = [row["lr/head"] for row in csv.DictReader(whole[2].splitlines()) if row["lr/head"]]
    assert rates[20] != rates[21]
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path / "cut", Last(tmp_path / "cut", every=1), cut=17, epochs=4)
    resumed = fit(tmp_path / "cut", Callback(), resume=tmp_path / "cut" / "last.ckpt", epochs=4)
    assert_equal(resumed, whole)


def test_a_run_from_before_the_averages_warm_up_continues_without(tmp_path: Path) -> None:
    keeper = Last(tmp_path, every=1)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, keeper, cut=6)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    (state,) = (state for name, state in saved["callbacks"].items() if name.startswith("FineTuning"))
    assert state.pop("averaged") == saved["global_step"] == 6
    torch.save(saved, tmp_path / "old.ckpt")
    fit(tmp_path, keeper, resume=tmp_path / "old.ckpt")
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert [state["averaged"] for name, state in last["callbacks"].items() if name.startswith("FineTuning")] == [None]


def test_the_decay_of_auto_is_that_of_the_runs_length_also_after_a_resume(tmp_path: Path) -> None:
    options: dict[str, Any] = {"ema": "auto", "epochs": 5}
    whole = fit(tmp_path / "whole", Last(tmp_path / "whole", every=1), **options)
    named = {"ema": 1 - 25.6 / (5 * BATCHES), "epochs": 5}
    assert_equal(fit(tmp_path / "named", Last(tmp_path / "named", every=1), **named), whole)
    folder = tmp_path / "cut"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(folder, Last(folder, every=1), cut=10, **options)
    assert_equal(fit(folder, Last(folder, every=1), resume=folder / "last.ckpt", **options), whole)


class SaveAt(Callback):
    """In the middle of any window, as a signal may ask for."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.last, self.left = Last(folder), batch

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.left == 0:
            self.last.save(trainer)
        self.left -= 1

    def on_save_checkpoint(self, *args: Any) -> None:
        self.last.on_save_checkpoint(*args)


@pytest.mark.parametrize("batch", [2, 11])
def test_a_checkpoint_within_an_accumulation_window_holds_its_gradients(batch: int, tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Callback(), accumulate_grad_batches=3)
    fit(tmp_path / "part", SaveAt(tmp_path / "part", batch), accumulate_grad_batches=3)
    position = torch.load(tmp_path / "part" / "last.ckpt", weights_only=True)["position"][0]
    assert set(position["gradients"]) >= {"head.1.weight", "head.1.bias"}
    resumed = fit(tmp_path / "part", Callback(), resume=tmp_path / "part" / "last.ckpt", accumulate_grad_batches=3)
    assert_equal(resumed, whole)


def test_lightnings_own_checkpoints_within_an_epoch_resume_too(tmp_path: Path) -> None:
    keeper = ModelCheckpoint(tmp_path / "kept", "{step}", every_n_train_steps=5, save_top_k=-1)
    whole = fit(tmp_path / "whole", keeper)
    resumed = fit(tmp_path / "part", Callback(), resume=tmp_path / "kept" / "step=5.ckpt")
    assert_equal(resumed[:2], whole[:2])


def test_an_ordinary_loader_resumes_exactly_after_epochs_and_warns_within_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def loader() -> DataLoader:
        images = torch.randn(4 * BATCHES, 3, 8, 8, generator=torch.Generator().manual_seed(3))
        return DataLoader(images, batch_size=4, shuffle=True)

    torch.manual_seed(5)
    whole = fit(tmp_path / "whole", SaveAt(tmp_path / "whole", BATCHES), loader=loader())
    torch.manual_seed(6)
    resumed = fit(tmp_path / "part", Callback(), resume=tmp_path / "whole" / "last.ckpt", loader=loader())
    assert_equal(resumed[:2], whole[:2])
    fit(tmp_path / "midway", SaveAt(tmp_path / "midway", BATCHES + 3), loader=loader())
    with pytest.warns(UserWarning, match="resumes exactly from the end of an epoch only"):
        fit(tmp_path / "midway", Callback(), resume=tmp_path / "midway" / "last.ckpt", loader=loader())
