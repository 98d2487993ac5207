from __future__ import annotations

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
