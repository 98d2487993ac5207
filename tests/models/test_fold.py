"""Folding changes the modules, not the function."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnet_tl.models.fold import fold
from resnet_tl.models.norms import FrozenBatchNorm
from resnet_tl.models.resnet import resnet

KINDS = ["resnet_tiny", "resnet10t", "resnet14t", "resnet18", "seresnet18", "resnext50_32x4d", "resnet20_cifar"]


def settled(module: nn.Module) -> nn.Module:
    """Sets statistics, weights and biases other than the initial ones."""
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm)) and norm.running_mean is not None:
            nn.init.normal_(norm.running_mean, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            if norm.weight is not None:
                nn.init.uniform_(norm.weight, 0.3, 0.7)
                nn.init.normal_(norm.bias, std=0.2)
    return module


def norms_in(module: nn.Module) -> int:
    return sum(isinstance(part, (nn.BatchNorm2d, FrozenBatchNorm)) for part in module.modules())


def assert_same(ours: Tensor, reference: Tensor) -> None:
    assert (ours - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize("norm", ["batch", "frozen"])
@pytest.mark.parametrize("name", KINDS)
def test_a_folded_trunk_computes_the_same_without_norms(name: str, norm: str) -> None:
    trunk = settled(resnet(name, norm=norm))
    folded = fold(trunk)
    assert norms_in(trunk) > 0
    assert norms_in(folded) == 0
    x = torch.randn(2, 3, 65, 64)
    trunk.eval()
    for level, value in trunk(x).items():
        assert_same(folded(x)[level], value)
        assert folded(x)[level].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["resnet14t", "resnet18"])
def test_dilated_trunks_and_their_pieces_fold(name: str) -> None:
    trunk = settled(resnet(name, output_stride=8)).eval()
    folded = fold(trunk)
    x = torch.randn(2, 3, 64, 64)
    maps = trunk(x)
    assert_same(folded(maps["c3"], after="layer2")["c5"], maps["c5"])
    assert_same(fold(trunk.layer3)(maps["c3"]), maps["c4"])


def test_the_original_is_untouched_and_the_copy_is_not_trainable() -> None:
    trunk = settled(resnet("resnet_tiny"))
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    folded = fold(trunk)
    assert trunk.training
    assert not folded.training
    assert all(parameter.requires_grad for parameter in trunk.parameters())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())
    kept = {parameter.data_ptr() for parameter in trunk.parameters()}
    assert kept.isdisjoint(parameter.data_ptr() for parameter in folded.parameters())


def test_group_norm_stays() -> None:
    trunk = resnet("resnet_tiny", norm="group").eval()
    folded = fold(trunk)
    assert sum(isinstance(part, nn.GroupNorm) for part in folded.modules()) > 0
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(folded(x)["c5"], trunk(x)["c5"])


def test_neighbours_in_a_sequential_fold_without_bias_or_affine_weights() -> None:
    bare = nn.BatchNorm2d(8, affine=False)
    module = settled(
        nn.Sequential(nn.Conv2d(3, 8, 3), bare, nn.ReLU(), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
    )
    folded = fold(module)
    assert norms_in(folded) == 0
    x = torch.randn(2, 3, 9, 9)
    assert_same(folded(x), module.eval()(x))


def test_unknown_data_flow_is_not_folded() -> None:
    shared = nn.Conv2d(4, 4, 1)

    class Backwards(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for part in reversed(self):
                x = part(x)
            return x

    for module in (
        nn.Sequential(shared, nn.BatchNorm2d(4), nn.ReLU(), shared, nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.ConvTranspose2d(4, 4, 1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Sequential(), nn.BatchNorm2d(4)),
        Backwards(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
    ):
        folded = fold(settled(module))
        assert norms_in(folded) == norms_in(module)
        x = torch.randn(2, 4, 5, 5)
        assert_same(folded(x), module.eval()(x))


def test_a_foreign_network_computes_the_same() -> None:
    model = settled(torchvision.models.resnet18())
    folded = fold(model)
    assert norms_in(folded) == norms_in(model) - 3  # its downsample pairs are neighbours in a Sequential
    x = torch.randn(2, 3, 64, 64)
    assert_same(folded(x), model.eval()(x))


def test_half_precision_keeps_its_type() -> None:
    folded = fold(settled(resnet("resnet_tiny")).bfloat16())
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.bfloat16}
