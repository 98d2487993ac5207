"""Any optimizer takes the same step whether the user or the engine splits its groups by stage."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.parameter_groups import StageParameterGroups, check_all_optimized
from resnet_tl.tuning.rates import Optimizer, build_optimizer
from resnet_tl.tuning.stages import owners

FACTORS = {"stem": 0.0, "layer": 0.1, "head": 1.0}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))


def stages(module: nn.Sequential) -> dict[str, list[nn.Module]]:
    return dict(zip(FACTORS, ([part] for part in module), strict=True))


def train(module: nn.Sequential, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=False)
        module(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "adafactor", "nadamw"])
def test_one_group_for_all_stages_steps_like_one_per_stage(name: str) -> None:
    one, several = net(), net()
    kind = Optimizer(name, lr=0.1)
    whole = build_optimizer(kind, [{"params": list(one.parameters())}])
    StageParameterGroups(whole, owners(stages(one)), lambda: FACTORS)
    trained = {stage: factor for stage, factor in FACTORS.items() if factor}
    apart = build_optimizer(
        kind,
        [{"params": list(stages(several)[stage][0].parameters()), "lr": 0.1 * trained[stage]} for stage in trained],
    )
    train(one, whole)
    train(several, apart)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), several.parameters(), strict=True))


def test_a_frozen_stage_with_gradients_and_momentum_does_not_change() -> None:
    module, factors = net(), dict.fromkeys(FACTORS, 1.0)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    StageParameterGroups(optimizer, owners(stages(module)), lambda: factors)
    train(module, optimizer)
    before = copy.deepcopy(module[0].state_dict())
    factors["stem"] = 0.0
    train(module, optimizer)
    assert module[0].weight.grad is not None
    assert all(torch.equal(before[key], tensor) for key, tensor in module[0].state_dict().items())


def test_outside_a_step_the_groups_are_the_users_own() -> None:
    module = net()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    groups = optimizer.param_groups
    by_stage = StageParameterGroups(optimizer, owners(stages(module)), lambda: FACTORS)
    assert by_stage.rates() == pytest.approx({"stem": 0, "layer": 0.01, "head": 0.1})
    train(module, optimizer)
    assert optimizer.param_groups is groups
    assert len(groups) == 1
    assert groups[0]["lr"] == 0.1
    assert "stage" not in groups[0]

    def fails() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(fails)
    by_stage.restore()
    assert optimizer.param_groups is groups


def test_what_an_optimizer_stores_in_its_groups_is_kept() -> None:
    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                group["made"] = group.get("made", 0) + 1
            return super().step(closure)

    module = net()
    optimizer = Counting(module.parameters(), 0.1)
    StageParameterGroups(optimizer, owners(stages(module)), lambda: FACTORS)
    train(module, optimizer, steps=3)
    assert optimizer.param_groups[0]["made"] == 3


def test_a_group_that_changes_between_steps_is_split_anew() -> None:
    module = net()
    optimizer = torch.optim.SGD(list(module.parameters())[:-1], 0.1)
    StageParameterGroups(optimizer, owners(stages(module)), lambda: FACTORS)
    last = list(module.parameters())[-1]
    before = last.detach().clone()
    train(module, optimizer, steps=1)
    assert torch.equal(last, before)
    optimizer.param_groups[0]["params"].append(last)
    train(module, optimizer, steps=1)
    assert not torch.equal(last, before)


def test_a_parameter_in_no_optimizer_is_an_error() -> None:
    module = net()
    owner, parameters = owners(stages(module)), dict(module.named_parameters())
    check_all_optimized([torch.optim.SGD(module.parameters(), 0.1)], parameters, owner)
    with pytest.raises(RecipeError, match=r"no optimizer holds the parameter '0.weight' of stage 'stem'"):
        check_all_optimized([torch.optim.SGD(module[1:].parameters(), 0.1)], parameters, owner)
    with pytest.raises(RecipeError, match="in no stage"):
        StageParameterGroups(torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1), owner, lambda: FACTORS)


def test_an_optimizer_of_a_single_group_is_refused() -> None:
    module = net()
    with pytest.raises(RecipeError, match=r"^LBFGS takes all parameters in one group"):
        StageParameterGroups(torch.optim.LBFGS(module.parameters()), owners(stages(module)), lambda: FACTORS)
