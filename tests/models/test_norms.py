"""Norms: frozen, group, and batch norm over single values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_tl.models.norms import FrozenBatchNorm, norm_of
from resnet_tl.models.resnet import resnet


def batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    norm.train()(torch.randn(4, channels, 5, 5) * 3 + 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm


def test_frozen_norm_equals_batch_norm_in_eval_mode() -> None:
    batch, frozen = batch_norm(6), FrozenBatchNorm(6)
    frozen.load_state_dict(batch.state_dict())
    batch.load_state_dict(frozen.state_dict())
    x = torch.randn(4, 6, 7, 5, requires_grad=True)
    ours, theirs = frozen.train()(x), batch.eval()(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    draw = torch.randn_like(ours)
    gradients = [torch.autograd.grad(value, x, draw)[0] for value in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_frozen_norm_keeps_half_precision_maps_as_batch_norm_does() -> None:
    batch, frozen = batch_norm(6), FrozenBatchNorm(6)
    frozen.load_state_dict(batch.state_dict())
    x = torch.randn(4, 6, 7, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = frozen(x), batch.eval()(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert torch.allclose(ours, theirs, rtol=2**-7)


def test_frozen_norm_has_no_parameters_and_stores_no_map() -> None:
    frozen = FrozenBatchNorm(6)
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    kept: list[torch.Size] = []
    x = torch.randn(4, 6, 7, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
        frozen.train()(x)
    assert not list(frozen.parameters())
    assert x.shape not in kept
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18d", "resnet20_cifar"])
def test_a_frozen_trunk_has_the_keys_of_a_trained_one(name: str) -> None:
    trained, frozen = resnet(name), resnet(name, norm="frozen")
    frozen.load_state_dict(trained.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for key, value in trained.eval()(x).items():
        assert torch.allclose(frozen.train()(x)[key], value, atol=1e-4)


@pytest.mark.parametrize(("channels", "groups"), [(2048, 32), (64, 32), (48, 8), (24, 4), (16, 8), (8, 4)])
def test_groups_have_at_least_two_channels(channels: int, groups: int) -> None:
    norm = norm_of("group")(channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups
