from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_tl.errors import RunError
from resnet_tl.structures.records import Batch
from resnet_tl.tracking.finite import FiniteLoss


def test_a_nan_loss_ends_a_run_before_it_reaches_the_weights(train: Any, tiny: Any, tmp_path: Path) -> None:
    class Breaks(tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return loss * math.nan if self.global_step == 6 else loss

    module = Breaks()
    with pytest.raises(RunError, match=r"^the loss of step 6 is not a number \(NaN or infinite\); the last good"):
        train(module)
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_the_error_names_the_files_of_the_batch(value: float) -> None:
    data = SimpleNamespace(paths_of=lambda indices: [f"{index}.png" for index in indices])
    trainer: Any = SimpleNamespace(world_size=1, global_step=3, datamodule=data)
    sizes = torch.zeros(2, 2)
    batch = Batch(torch.zeros(2, 3, 4, 4), torch.zeros(2), sizes, sizes, torch.tensor([7, 9]))
    check, module = FiniteLoss(), Any
    check.on_train_batch_start(trainer, module, batch, 0)
    check.on_before_backward(trainer, module, torch.tensor(1.0))
    check.on_train_batch_start(trainer, module, batch, 1)
    with pytest.raises(RunError, match=r"its batch: 7\.png, 9\.png"):
        check.on_before_backward(trainer, module, torch.tensor(value))


def test_weights_that_the_last_step_breaks_are_not_saved(train: Any, tiny: Any, tmp_path: Path) -> None:
    """No loss follows that would show it."""

    class Breaks(tiny):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            if self.global_step == 11:
                for parameter in self.parameters():
                    parameter.grad.fill_(math.nan)

    with pytest.raises(RunError, match=r"^weights are NaN or infinite after step 12: net\.1\.weight, .*; the last"):
        train(Breaks())
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 8
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    assert not json.loads((tmp_path / "run" / "summary.json").read_text())["finished"]


def test_a_loss_that_explodes_is_warned_of_once() -> None:
    check, trainer = FiniteLoss(), SimpleNamespace(world_size=1, global_step=0, datamodule=None)

    def step(loss: float) -> None:
        check.on_before_backward(trainer, Any, torch.tensor(loss))  # type: ignore[arg-type]
        trainer.global_step += 1

    for loss in [2.0, 5.0] * 5 + [4.9e4]:
        step(loss)
    with pytest.warns(UserWarning, match=r"^the loss of step 11 is 5\.1e\+04, far above that of the first steps"):
        step(5.1e4)
    step(2e25)
