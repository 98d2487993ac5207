"""L2-SP, alone and in the Trainer."""

from __future__ import annotations

import copy
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.tuning.callback import FineTuning
from resnet_tl.tuning.phase_state import PhaseState
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.regularisers.base import Start
from resnet_tl.tuning.regularisers.collection import Regularisers
from resnet_tl.tuning.regularisers.l2_sp import L2SP


def started(strength: float, layer: nn.Module) -> L2SP:
    regulariser = L2SP(strength)
    regulariser.start(Start(layer, {"body": [layer]}, ["body"]))
    return regulariser


def test_it_adds_the_gradient_of_the_penalty() -> None:
    layer = nn.Conv2d(2, 3, 3)
    regulariser, start = started(0.3, layer), layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(torch.randn_like(layer.weight))
        layer.bias.add_(1)
    layer(torch.randn(1, 2, 5, 5)).sum().backward()
    before = copy.deepcopy([layer.weight.grad, layer.bias.grad])
    penalty = 0.3 / 2 * (layer.weight - start).pow(2).sum()
    (expected,) = torch.autograd.grad(penalty, layer.weight)
    regulariser.add_gradients()
    torch.testing.assert_close(regulariser.value(), penalty.detach())
    torch.testing.assert_close(layer.weight.grad, before[0] + expected)
    assert torch.equal(layer.bias.grad, before[1])


def test_nothing_is_added_without_a_gradient() -> None:
    layer = nn.Linear(2, 2)
    started(0.3, layer).add_gradients()
    assert layer.weight.grad is None


def test_nothing_loaded_is_refused() -> None:
    with pytest.raises(RecipeError, match="none were loaded"):
        L2SP().start(Start(nn.Linear(2, 2), {}, []))


def test_another_start_is_refused_and_the_same_one_is_not() -> None:
    module, tuning = Still(), Tuning(l2_sp=0.1)
    regularisers = Regularisers(tuning, module, module.stages())
    saved = regularisers.state_dict()
    with torch.no_grad():
        module.body.weight.add_(1)
    regularisers.load_state_dict(saved)
    with pytest.raises(RunError, match="other weights are loaded now"):
        Regularisers(tuning, module, module.stages()).load_state_dict(saved)
    with pytest.raises(RunError, match="has L2SP, which the run that is to be resumed did not have"):
        regularisers.load_state_dict({})


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


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_loaded_stages_decay_to_their_start_and_the_head_to_zero(strength: float, listed: bool, tmp_path: Path) -> None:
    module = Still()
    start = copy.deepcopy(module.state_dict())
    named = Tuning([Phase()], regularisers=[partial(L2SP, strength)]) if listed else Tuning([Phase()], l2_sp=strength)
    callback = FineTuning(named)
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


def test_a_checkpoint_from_before_there_were_other_regularisers_resumes() -> None:
    """It holds the digest alone, of the same tensors."""
    module, stages = Still(), Still().stages()
    callback = FineTuning(Tuning([Phase()], l2_sp=0.1))
    callback.regularisers = Regularisers(callback.tuning, module, module.stages())
    old = hashlib.sha256(module.body.weight.detach().numpy().tobytes()).hexdigest()
    callback.phase_state, callback._fitting = PhaseState(callback.tuning, stages, 1, module), True
    state = {"course": {"starts": [0], "plateau": {}}, "steps": 3}
    callback.load_state_dict({**state, "anchor": old})
    with pytest.raises(RunError, match="other weights are loaded now"):
        callback.load_state_dict({**state, "anchor": "0" * 64})


def test_both_ways_of_naming_it_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"has L2SP twice \(tuning.l2_sp is one, too\)"):
        Regularisers(Tuning(l2_sp=0.1, regularisers=[L2SP]), Still(), Still().stages())
