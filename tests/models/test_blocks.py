"""Residual blocks: shortcuts, strides, initial values, dropped paths. Equality with other libraries:
test_resnet_peers.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from resnet_tl.models.blocks import Block, DropPath
from resnet_tl.models.resnet import ResNet, resnet


def test_the_padded_shortcut_is_option_a_of_the_paper() -> None:
    trunk = resnet("resnet20_cifar")
    x = torch.randn(2, 16, 5, 5)
    y = trunk.layer2[0].downsample(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_stride_first_is_the_bottleneck_of_the_paper() -> None:
    ours, paper = resnet("resnet14t"), resnet("resnet14t", stride_first=True)
    assert [module.stride for module in (ours.layer2[0].conv1, ours.layer2[0].conv2)] == [(1, 1), (2, 2)]
    assert [module.stride for module in (paper.layer2[0].conv1, paper.layer2[0].conv2)] == [(2, 2), (1, 1)]
    paper.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert [v.shape for v in paper(x).values()] == [v.shape for v in ours(x).values()]


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet14t"])
def test_untrained_blocks_are_identities_if_the_last_norm_starts_at_zero(name: str) -> None:
    x = torch.randn(2, 3, 64, 64)
    assert branches_are_silent(resnet(name), x)
    assert not branches_are_silent(resnet(name, zero_init_last=False), x)
    assert not branches_are_silent(resnet(name, norm="frozen"), x)


def branches_are_silent(trunk: ResNet, x: Tensor) -> bool:
    silent = []
    for block in (module for module in trunk.modules() if isinstance(module, Block)):
        block.se.register_forward_hook(lambda *parts: silent.append(not parts[-1].any()))
    trunk(x)
    return all(silent)


def test_drop_path_grows_linearly_and_does_not_change_evaluation() -> None:
    trunk = resnet("resnet18", drop_path=0.35)
    rates = [module.rate for module in trunk.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.05 * number for number in range(1, 8)])
    plain = resnet("resnet18")
    plain.load_state_dict(trunk.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(trunk.eval()(x)["c5"], plain.eval()(x)["c5"])
