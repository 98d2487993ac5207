"""FineTuning inside Lightning's Trainer, on a user's LightningModule."""

from __future__ import annotations

import hashlib
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.average import RAW_STATE
from resnet_tl.tuning.callback import FineTuning, _check_strategy
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import parameter_groups
from resnet_tl.tuning.resolve import resolve

EPOCHS, STEPS = 4, 5


class Small(LightningModule):
    def __init__(self, optimizer: str = "sgd") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.layer = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(6, 2)
        self.kind = optimizer
        self.rates: list[dict[str, float]] = []
        self.digests: list[dict[str, str]] = []

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"stem": [self.stem], "layer": [self.layer], "head": [self.head]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.stem(x)).mean((2, 3)))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        groups = parameter_groups(self.stages(), 0.1)
        make = {
            "sgd": lambda: torch.optim.SGD(groups, 0.1, momentum=0.9),
            "adamw": lambda: torch.optim.AdamW(groups, 0.1),
        }
        optimizer = make[self.kind]()
        schedule = LambdaLR(optimizer, lambda step: math.cos(math.pi * step / (2 * EPOCHS * STEPS)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.rates.append({group["stage"]: group["lr"] for group in optimizer.param_groups})

    def on_train_epoch_end(self) -> None:
        self.digests.append({stage: digest(modules[0]) for stage, modules in self.stages().items()})


def digest(module: nn.Module) -> str:
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in module.state_dict().values())).hexdigest()


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4 * STEPS, 3, 12, 12, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(len(images)) % 2), batch_size=4)


def fit(module: Small, tuning: Tuning, folder: Path, **options: Any) -> Trainer:
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        callbacks=[FineTuning(tuning)],
        **options,
    )
    trainer.fit(module, loader(), loader())
    return trainer


GRADUAL = [Phase(["head"], epochs=1), Phase(["layer", "head"], epochs=1, lr={"layer": 0.5}), Phase("all", epochs=1)]
LATE_FREEZE = [Phase("all", epochs=2), Phase(["head"])]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_frozen_stages_do_not_move_by_a_bit(optimizer: str, ema: float | None, tmp_path: Path) -> None:
    module = Small(optimizer)
    start = {stage: digest(modules[0]) for stage, modules in module.stages().items()}
    tuning = Tuning([*GRADUAL, Phase(["head"])], ema=ema, allow_untrained=True)
    fit(module, tuning, tmp_path)
    first, second, third, last = module.digests
    assert first["stem"] == second["stem"] == start["stem"] != third["stem"] == last["stem"]
    assert first["layer"] == start["layer"] != second["layer"]
    assert third["layer"] == last["layer"]
    assert len({start["head"], first["head"], second["head"], third["head"], last["head"]}) == 5


def test_rates_are_schedule_times_factor_from_the_first_step(tmp_path: Path) -> None:
    module = Small()
    fit(module, Tuning([*GRADUAL, Phase("all", layer_decay=0.5)], allow_untrained=True), tmp_path)
    factors = [(0, 0, 1), (0, 0.5, 1), (1, 1, 1), (0.25, 0.5, 1)]
    for step, rates in enumerate(module.rates):
        scheduled = 0.1 * math.cos(math.pi * step / (2 * EPOCHS * STEPS))
        for stage, factor in zip(("stem", "layer", "head"), factors[step // STEPS], strict=True):
            assert rates.get(stage, 0) == pytest.approx(scheduled * factor, abs=1e-12)
    assert len(module.rates) == EPOCHS * STEPS


@pytest.mark.parametrize(("steps", "sentence"), [(6, "the run ends in epoch 2, before phase 2 begins"), (11, None)])
def test_phases_that_max_steps_does_not_reach_are_named(
    steps: int, sentence: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fit(Small(), Tuning(GRADUAL, allow_untrained=True), tmp_path, max_steps=steps)
    reported = [line for line in caplog.messages if line.startswith("trainer.max_steps is")]
    assert reported == ([f"trainer.max_steps is {steps}: {sentence}"] if sentence else [])


def test_schedulers_never_see_the_factors(tmp_path: Path) -> None:
    module = Small()
    trainer = fit(module, Tuning([Phase("all", lr={"stem": 0.1})]), tmp_path)
    assert len({group["lr"] for group in trainer.optimizers[0].param_groups}) == 1


def test_validation_and_checkpoint_use_the_average(tmp_path: Path) -> None:
    module = Small()
    seen: list[torch.Tensor] = []
    module.on_validation_epoch_start = lambda: seen.append(module.head.weight.detach().clone())  # type: ignore[method-assign]
    trainer = fit(module, Tuning(ema=0.5), tmp_path, num_sanity_val_steps=0)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert torch.equal(saved["state_dict"]["head.weight"], seen[-1])
    assert torch.equal(module.head.weight, seen[-1])
    assert RAW_STATE in saved


def test_accumulated_batches_make_one_averaged_step(tmp_path: Path) -> None:
    module = Small()
    updates = []
    callback = FineTuning(Tuning(ema=0.5))
    trainer = Trainer(
        max_epochs=1, accumulate_grad_batches=2, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path, callbacks=[callback],
        num_sanity_val_steps=0,
    )  # fmt: skip
    from resnet_tl.tuning.average import Average

    original = Average.update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Average, "update", lambda self, m: (updates.append(1), original(self, m)))
        trainer.fit(module, loader())
    assert len(updates) == math.ceil(STEPS / 2)


def test_stages_by_a_mapping(tmp_path: Path) -> None:
    module = Small()
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=[FineTuning(Tuning([Phase(["head"])], allow_untrained=True),
                              stages={"stem": ["stem.0", "stem.1"], "layer": ["layer"], "head": ["head"]})],
    )  # fmt: skip
    before = digest(module.stem)
    trainer.fit(module, loader())
    assert digest(module.stem) == before


def test_a_module_without_our_network_is_reported_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    phases = [Phase(["head"], epochs=1), Phase(epochs=1), Phase(["layer", "head"])]
    trainer = Trainer(
        max_epochs=3, limit_train_batches=1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        callbacks=[FineTuning(Tuning(phases, allow_untrained=True))],
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        trainer.fit(Small(), loader())
    assert caplog.text.count("Small holds no resnet_tl.Network") == 1


def test_a_plan_too_long_for_fast_dev_run_is_refused_by_its_name(tmp_path: Path) -> None:
    plan = Tuning([Phase(["head"], epochs=1), Phase()], allow_untrained=True)
    trainer = Trainer(max_epochs=5, fast_dev_run=True, accelerator="cpu", callbacks=[FineTuning(plan)])
    with pytest.raises(RecipeError, match=r"max_epochs is 1; .*fast_dev_run has set it to 1"):
        trainer.fit(Small(), loader())


@pytest.mark.parametrize("kind", [FSDPStrategy, DeepSpeedStrategy])
def test_strategies_that_shard_parameters_are_refused_where_a_plan_unfreezes(kind: type) -> None:
    def check(*phases: Phase) -> None:
        own = {"__init__": lambda self: None, "root_device": torch.device("cpu"), "_layer_sync": None}
        fake = type(kind.__name__, (kind,), own)()
        trainer: Any = SimpleNamespace(strategy=fake)
        _check_strategy(trainer, resolve(Tuning(list(phases)), ["stem", "head"], 3))

    for first in (["head"], ["norms", "head"]):
        with pytest.raises(RecipeError, match=f"the plan unfreezes stages, which {kind.__name__} does not"):
            check(Phase(first, epochs=1), Phase())
    check(Phase(["head"]))
    check(Phase(["head"], epochs=1, lr={"head": 0.1}), Phase(["head"]))
