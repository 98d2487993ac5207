"""L2-SP, alone and in the Trainer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.tuning.anchor import Anchor
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.plan import Phase, Tuning


def test_it_adds_the_gradient_of_the_penalty() -> None:
    layer = nn.Conv2d(2, 3, 3)
    anchor, start = Anchor({"body": [layer]}, 0.3), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(torch.randn_like(layer.weight))
        layer.bias.add_(1)
    layer(torch.randn(1, 2, 5, 5)).sum().backward()
    before = copy.deepcopy([layer.weight.grad, layer.bias.grad])
    penalty = 0.3 / 2 * (layer.weight - start).pow(2).sum()
    (expected,) = torch.autograd.grad(penalty, layer.weight)
    anchor.add_gradients()
    torch.testing.assert_close(layer.weight.grad, before[0] + expected)
    assert torch.equal(layer.bias.grad, before[1])


def test_nothing_is_added_without_a_gradient() -> None:
    layer = nn.Linear(2, 2)
    Anchor({"body": [layer]}, 0.3).add_gradients()
    assert layer.weight.grad is None


def test_nothing_loaded_is_refused() -> None:
    with pytest.raises(RecipeError, match="none were loaded"):
        Anchor({}, 0.1)


def test_another_start_is_refused_and_the_same_one_is_not() -> None:
    layer = nn.Linear(2, 2)
    anchor = Anchor({"body": [layer]}, 0.1)
    digest = anchor.digest()
    with torch.no_grad():
        layer.weight.add_(1)
    anchor.check(digest)
    with pytest.raises(RunError, match="other weights are loaded now"):
        Anchor({"body": [layer]}, 0.1).check(digest)


class Still(LightningModule):
    """The loss is 0 everywhere: only weight decay moves the weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.loaded_stages = ["body"]

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"body": [self.body], "head": [self.head]}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return 0 * self.head(self.body(batch[0])).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.5, weight_decay=0.2)


@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_loaded_stages_decay_to_their_start_and_the_head_to_zero(strength: float, tmp_path: Path) -> None:
    module = Still()
    start = copy.deepcopy(module.state_dict())
    callback = FineTuning(Tuning([Phase()], l2_sp=strength))
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, callbacks=[callback],
    )  # fmt: skip
    shifted = module.on_train_start = lambda: module.body.weight.data.add_(1.0)  # type: ignore[method-assign, assignment]
    assert shifted is not None
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(3, 4)), batch_size=1))
    torch.testing.assert_close(module.head.weight, start["head.weight"] * 0.9**3)
    towards_start = start["body.weight"] + (1 - 0.5 * strength) ** 3
    expected = towards_start if strength else (start["body.weight"] + 1) * 0.9**3
    torch.testing.assert_close(module.body.weight, expected)
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.2
