"""Phases that end when their metric stalls, in the Trainer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.plateau import Plateau


def test_patience_counts_validations_without_a_new_best() -> None:
    plateau = Plateau(Phase(patience=2))
    assert [plateau.update(value) for value in (1.0, 0.9, 0.9, math.nan)] == [True, True, False, False]
    assert plateau.stalled
    rising = Plateau(Phase(monitor="val/acc", patience=2))
    assert [rising.update(value) for value in (0.1, 0.2, 0.1)] == [True, True, False]
    assert not rising.stalled
    twin = Plateau(Phase(monitor="val/acc", patience=2))
    twin.load_state_dict(rising.state_dict())
    assert not twin.update(0.2)
    assert twin.stalled


class Scripted(LightningModule):
    """Logs these losses, epoch by epoch, and stores its weights at each validation."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.losses = losses
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.phases: list[float] = []
        self.seen: list[torch.Tensor] = []

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"body": [self.body], "head": [self.head]}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.head(self.body(batch[0])).pow(2).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.losses[self.current_epoch])

    def on_validation_epoch_end(self) -> None:
        self.seen.append(self.head.weight.detach().clone())

    def on_train_epoch_end(self) -> None:
        self.phases.append(float(self.body.weight.requires_grad))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)


def fit(
    losses: list[float], phases: list[Phase], folder: Path, steps: int = -1, **options: Any
) -> tuple[Scripted, FineTuning]:
    module = Scripted(losses)
    callback = FineTuning(Tuning(phases, allow_untrained=True, **options.pop("tuning", {})))
    trainer = Trainer(
        max_epochs=len(losses), max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder, num_sanity_val_steps=0,
        callbacks=[callback],
    )  # fmt: skip
    data = DataLoader(TensorDataset(torch.ones(4, 4)), batch_size=2)
    trainer.fit(module, data, DataLoader(TensorDataset(torch.ones(1, 4))), **options)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module, callback


PHASES = [Phase(["head"], epochs=5, until="plateau", patience=2), Phase()]


def test_a_plateau_without_validation_is_refused(tmp_path: Path) -> None:
    trainer = Trainer(
        max_epochs=9,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        limit_val_batches=0,
        callbacks=[FineTuning(Tuning(PHASES, allow_untrained=True))],
    )
    with pytest.raises(RecipeError, match=r"phases\[0\]\.until is plateau, but there is no validation"):
        trainer.fit(Scripted([1.0]), DataLoader(TensorDataset(torch.ones(4, 4)), batch_size=2))


def test_a_stalled_phase_ends_and_the_last_lasts_longer(tmp_path: Path) -> None:
    module, callback = fit([1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6], PHASES, tmp_path)
    assert module.phases == [0, 0, 0, 1, 1, 1, 1]
    assert [(s.start, s.end) for s in callback.phase_state.plan.phases] == [(0, 3), (3, 7)]


def test_a_phase_that_keeps_improving_has_its_maximum_length(tmp_path: Path) -> None:
    module, _ = fit([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], PHASES, tmp_path)
    assert module.phases == [0] * 5 + [1] * 2


def test_the_last_phase_ends_the_run(tmp_path: Path) -> None:
    module, _ = fit([1.0, 2.0, 2.0, 2.0, 2.0], [Phase(until="plateau", patience=1)], tmp_path)
    assert len(module.phases) == 2


@pytest.mark.parametrize("ema", [None, 0.5])
def test_restore_best_restores_the_best_validation(ema: float | None, tmp_path: Path) -> None:
    phases = [Phase(["head"], epochs=4, until="plateau", patience=2, restore_best=True), Phase(lr={"*": 1e-9})]
    module, _ = fit([1.0, 0.5, 0.6, 0.6, 0.6], phases, tmp_path, tuning={"ema": ema})
    assert len(module.phases) == 5
    assert not torch.equal(module.seen[1], module.seen[3])
    # 0.5 of the average's way back to the raw weights is left after a step, 0.25 after two
    torch.testing.assert_close(module.seen[4], module.seen[1], rtol=0.0, atol=1e-6 if ema is None else 0.1)
    alone, _ = fit([1.0, 0.5, 0.6], [Phase(until="plateau", patience=1, restore_best=True)], tmp_path)
    assert torch.equal(alone.head.weight, alone.seen[1])


def test_a_resumed_phase_remembers_its_patience(tmp_path: Path) -> None:
    losses = [1.0, 0.5, 0.6, 0.6, 0.6, 0.6]
    phases = [Phase(["head"], epochs=5, until="plateau", patience=2, restore_best=True), Phase()]
    whole, _ = fit(losses, phases, tmp_path)
    fit(losses, phases, tmp_path, steps=6)
    path = tmp_path / "last.ckpt"
    going_on, callback = fit(losses, phases, tmp_path, ckpt_path=path)
    assert whole.phases == [0, 0, 0, 0, 1, 1]
    assert going_on.phases == [0, 1, 1]
    assert callback.state_dict()["course"]["starts"] == [0, 4]
    assert torch.equal(whole.head.weight, going_on.head.weight)


def test_a_metric_that_is_not_logged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="monitor is 'val/los', which validation does not log; did you mean 'val/loss"
    ):
        fit([1.0], [Phase(until="plateau", monitor="val/los")], tmp_path)
