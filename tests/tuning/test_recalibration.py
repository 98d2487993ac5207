"""Running statistics estimated again at the end of a run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.freezing import freeze
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.recalibration import recalibrate
from resnet_tl.tuning.resolve import resolve


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4))


def test_the_statistics_are_the_mean_over_the_batches() -> None:
    module, batches = net().train(), [torch.randn(8, 4) for _ in range(3)]
    before = copy.deepcopy(module.state_dict())
    assert recalibrate(module, module, batches) == 2
    means = torch.stack([module[0](batch).mean(0) for batch in batches])
    variances = torch.stack([module[0](batch).var(0) for batch in batches])
    torch.testing.assert_close(module[1].running_mean, means.mean(0))
    torch.testing.assert_close(module[1].running_var, variances.mean(0))
    assert all(part.training for part in module.modules())
    assert module[1].momentum == 0.1
    moved = {key for key, value in module.state_dict().items() if not torch.equal(before[key], value)}
    assert moved == {key for key in before if "running" in key or "tracked" in key}


def test_frozen_norms_stay_as_they_are() -> None:
    module = net()
    freeze([module[0], module[1]])
    before = copy.deepcopy(module[1].state_dict())
    assert recalibrate(module, module, [torch.randn(8, 4)]) == 1
    assert all(torch.equal(before[key], value) for key, value in module[1].state_dict().items())


def test_frozen_norms_everywhere_leave_nothing_to_estimate() -> None:
    with pytest.raises(RecipeError, match="recalibrate is 3, but norm: frozen keeps the statistics"):
        resolve(Tuning(norm="frozen", recalibrate=3), ["head"], 1)


class Small(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = net()
        self.seen: list[dict[str, torch.Tensor]] = []

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"net": [self.net]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self(batch[0]).pow(2).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self(batch[0]).mean())

    def on_validation_epoch_end(self) -> None:
        self.seen.append(copy.deepcopy(self.state_dict()))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.5)


DATA = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_at_the_end_of_the_fit_for_the_weights_that_are_saved(
    ema: float | None, validated: bool, tmp_path: Path
) -> None:
    module = Small()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
        callbacks=[FineTuning(Tuning([Phase()], ema=ema, recalibrate=2))],
    )  # fmt: skip
    data = DataLoader(TensorDataset(DATA), batch_size=4)
    trainer.fit(module, data, data if validated else None)
    first = module.net[0](DATA[:8])
    expected = torch.stack([half.mean(0) for half in first.split(4)]).mean(0)
    torch.testing.assert_close(module.net[1].running_mean, expected)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)["state_dict"]
    torch.testing.assert_close(saved["net.1.running_mean"], expected)
    if validated:
        assert torch.equal(module.seen[-1]["net.1.running_mean"], saved["net.1.running_mean"])
        assert module.seen[0]["net.1.num_batches_tracked"] == 4


def test_before_the_validation_of_a_run_that_stops_within_an_epoch(tmp_path: Path) -> None:
    module = Small()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
        callbacks=[FineTuning(Tuning([Phase()], recalibrate=2))], max_time={"microseconds": 1},
    )  # fmt: skip
    data = DataLoader(TensorDataset(DATA), batch_size=4)
    trainer.fit(module, data, data)
    assert trainer.global_step == 1
    assert torch.equal(module.seen[-1]["net.1.running_mean"], module.net[1].running_mean)
    assert module.seen[-1]["net.1.num_batches_tracked"] == 2


def test_never_without_being_asked(tmp_path: Path) -> None:
    module = Small()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, callbacks=[FineTuning(Tuning([Phase()]))],
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(DATA), batch_size=4))
    assert module.net[1].num_batches_tracked == 8
