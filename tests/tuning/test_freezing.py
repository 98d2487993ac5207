from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.freezing import freeze, frozen_keys, kinds_in, unfreeze, unfreeze_only


@pytest.fixture
def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def test_modules_stay_frozen_through_train_and_eval(net: nn.Sequential) -> None:
    freeze([net])
    before = state(net)
    net.train()
    net[1].train()
    net.eval()
    net.train(True)
    x = torch.randn(8, 3, 8, 8)
    first, second = net(x), net(x)
    assert torch.equal(first, second)
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())


def test_output_does_not_depend_on_batch_mates(net: nn.Sequential) -> None:
    freeze([net])
    net.train()
    x = torch.randn(8, 3, 8, 8)
    torch.testing.assert_close(net(x)[:2], net(x[:2]))


def test_gradients_from_before_a_freeze_are_dropped(net: nn.Sequential) -> None:
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    net(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    freeze([net[0], net[1]])
    before = state(net[:2])
    net(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[key], tensor) for key, tensor in net[:2].state_dict().items())


def test_unfreezing_undoes_a_freeze(net: nn.Sequential) -> None:
    freeze([net])
    unfreeze([net])
    assert all(part.training for part in net.modules())
    net.eval()
    assert not any(part.training for part in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_norms_may_stay_frozen_in_trained_stages(net: nn.Sequential) -> None:
    unfreeze([net], norms_frozen=True)
    net.train()
    assert net[2].training
    assert not net[1].training
    assert net[1].weight.requires_grad


def test_a_copy_is_frozen_on_its_own(net: nn.Sequential) -> None:
    freeze([net])
    twin = copy.deepcopy(net)
    unfreeze([net])
    twin.train()
    assert not twin[1].training
    unfreeze([twin])
    assert twin[1].training


def test_a_pickled_copy_is_frozen_on_its_own(net: nn.Sequential) -> None:
    freeze([net])
    twin = pickle.loads(pickle.dumps(net))
    unfreeze([net])
    twin.train()
    assert not any(part.training for part in twin.modules())
    unfreeze([twin])
    assert all(part.training for part in twin.modules())


def test_unfreezing_calls_a_networks_own_train() -> None:
    class NormsInEval(nn.Sequential):
        def train(self, mode: bool = True) -> NormsInEval:
            super().train(mode)
            self[1].eval()
            return self

    own = NormsInEval(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    freeze([own])
    unfreeze([own])
    assert own[0].training
    assert not own[1].training


def test_custom_norms_are_frozen_too() -> None:
    class RunningScale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_scale", torch.ones(()))

    own = nn.Sequential(RunningScale(), nn.Dropout())
    unfreeze([own], norms_frozen=True)
    own.train()
    assert [part.training for part in own] == [False, True]


def test_a_norm_without_statistics_cannot_be_frozen() -> None:
    with pytest.raises(RecipeError, match="1 is a BatchNorm2d without running statistics"):
        freeze([nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))])


def test_norms_alone(net: nn.Sequential) -> None:
    unfreeze([net])
    unfreeze_only([net], ["norms"])
    net.train()
    assert {name for name, p in net.named_parameters() if p.requires_grad} == {"1.weight", "1.bias"}
    assert net[1].training
    assert not any(part.training for part in (net[0], net[2], net[3]))
    before = state(net)
    net(torch.randn(8, 3, 8, 8))
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])
    unfreeze_only([net], ["norms"], norms_frozen=True)
    net.train()
    assert not net[1].training
    assert net[1].weight.requires_grad


def test_biases_alone_leave_the_norms_statistics(net: nn.Sequential) -> None:
    unfreeze_only([net], ["biases"])
    net.train()
    assert {name for name, p in net.named_parameters() if p.requires_grad} == {"0.bias", "1.bias", "3.bias"}
    before = state(net)
    net(torch.randn(8, 3, 8, 8)).sum().backward()
    torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1).step()
    moved = {key for key, tensor in net.state_dict().items() if not torch.equal(before[key], tensor)}
    assert moved == {"0.bias", "1.bias", "3.bias"}


def test_kinds_in_a_stage(net: nn.Sequential) -> None:
    assert kinds_in([net]) == {"norms", "last_norm", "biases"}
    assert kinds_in([nn.Conv2d(3, 4, 3, bias=False)]) == set()
    assert kinds_in([nn.Conv2d(3, 4, 3, bias=False), nn.LayerNorm(4, bias=False)]) == {"norms", "last_norm"}


def test_frozen_keys_are_those_of_what_does_not_change(net: nn.Sequential) -> None:
    assert frozen_keys(net) == []
    unfreeze_only([net], ["biases"])
    assert set(frozen_keys(net)) == set(net.state_dict()) - {"0.bias", "1.bias", "3.bias"}
    unfreeze([net], norms_frozen=True)
    assert set(frozen_keys(net)) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


@pytest.mark.parametrize("norms_frozen", [False, True])
def test_the_last_norm_alone(norms_frozen: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    assert kinds_in([net]) == {"norms", "biases", "last_norm"}
    unfreeze_only([net], ["last_norm"], norms_frozen=norms_frozen)
    net.train()
    assert [name for name, parameter in net.named_parameters() if parameter.requires_grad] == ["3.weight", "3.bias"]
    assert [part.training for part in net] == [False, False, False, not norms_frozen, False]
    unfreeze_only([net], ["last_norm", "norms"], norms_frozen=norms_frozen)
    assert [part.training for part in net] == [False, not norms_frozen] * 2 + [False]


@pytest.mark.parametrize("kinds", [["norms"], ["last_norm", "biases"]])
def test_trained_norms_of_frozen_parts_follow_evaluation(kinds: list[str]) -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5)))
    network = nn.Sequential(block, nn.Flatten())
    unfreeze_only([block], kinds)
    for module in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        norm = module[0][1][0]
        module.train()
        assert [part.training for part in module[0].modules()] == [part is norm for part in module[0].modules()]
        module.eval()
        assert not any(part.training for part in module.modules())
        x = torch.randn(4, 3, 8, 8)
        torch.testing.assert_close(module(x)[:2], module(x[:2]))
