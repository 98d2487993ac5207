"""Adapters change nothing until they are trained, are trained alone, load, and cost nothing once merged."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from resnet_tl.errors import WeightsError
from resnet_tl.export.graph import Graph
from resnet_tl.models.adapters import AdaptedConv2d, Adapter, merge_adapters
from resnet_tl.models.fold import fold
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.resnet import resnet
from resnet_tl.tuning.freezing import kinds_in, unfreeze_only
from resnet_tl.weights.load import load_weights

NAMES = ["resnet14t", "seresnet18", "resnext50_32x4d", "resnet20_cifar"]
SHALLOW = {"resnext50_32x4d": ["c2", "c3"]}
"""Levels of large networks that suffice."""


def adapters_of(module: nn.Module) -> list[Adapter]:
    return [part for part in module.modules() if isinstance(part, Adapter)]


def trained(module: nn.Module) -> nn.Module:
    """Adapters and statistics as after training."""
    for part in module.modules():
        if isinstance(part, Adapter):
            nn.init.normal_(part.weight, std=0.05)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.3, 0.7)
    return module.eval()


@pytest.mark.parametrize("name", NAMES)
def test_new_adapters_change_neither_the_function_nor_the_other_weights(name: str) -> None:
    torch.manual_seed(0)
    levels = SHALLOW.get(name)
    plain, drawn = resnet(name, zero_init_last=False, levels=levels).eval(), torch.rand(1)
    torch.manual_seed(0)
    adapted = resnet(name, zero_init_last=False, adapters=True, levels=levels).eval()
    assert torch.equal(torch.rand(1), drawn)
    state, x = adapted.state_dict(), torch.randn(2, 3, 40, 33)
    for key, value in plain.state_dict().items():
        assert torch.equal(state.pop(key), value)
    assert all(key.endswith(".adapter.weight") for key in state)
    assert len(state) == sum(conv.kernel_size == (3, 3) for conv in in_blocks(plain)) > 0
    for level, value in plain(x).items():
        assert torch.equal(adapted(x)[level], value)


def in_blocks(trunk: nn.Module) -> list[nn.Conv2d]:
    named = [(name, part) for name, part in trunk.named_modules() if isinstance(part, nn.Conv2d)]
    return [part for name, part in named if name.startswith("layer") and "downsample" not in name]


@pytest.mark.parametrize(("name", "stride"), [*((name, 32) for name in NAMES), ("resnet14t", 8)])
def test_merged_adapters_compute_the_same_at_no_cost(name: str, stride: int) -> None:
    torch.manual_seed(0)
    levels = SHALLOW.get(name)
    adapted = trained(resnet(name, adapters=True, output_stride=stride, levels=levels))
    with torch.no_grad():
        maps = adapted(x := torch.randn(2, 3, 41, 34))
        folded, moved = fold(adapted), resnet(name, output_stride=stride, levels=levels).eval()
        moved.load_state_dict(adapted.state_dict(), strict=False)
        assert not torch.allclose(moved(x)["c3"], maps["c3"], rtol=1e-2), "adapters matter"
        assert len(adapters_of(adapted)) > len(adapters_of(folded)) == 0
        for level, value in maps.items():
            assert (folded(x)[level] - value).abs().max() <= 1e-5 * value.abs().max()
        merge_adapters(adapted)
        for level, value in maps.items():
            assert (adapted(x)[level] - value).abs().max() <= 1e-5 * value.abs().max()
    assert adapted.state_dict().keys() == moved.state_dict().keys()


def network(adapters: bool, name: str = "resnet20_cifar") -> Network:
    return build(Backbone(name, adapters=adapters), None, LinearHead, ["a", "b"])


def test_an_exported_graph_has_none() -> None:
    graph = Graph(trained(network(adapters=True)), "classification")
    assert not any(isinstance(part, AdaptedConv2d) for part in graph.modules())


def test_they_are_trained_alone() -> None:
    made = network(adapters=True)
    stages = made.stages()
    assert [stage for stage in stages if "adapters" in kinds_in(stages[stage])] == ["layer1", "layer2", "layer3"]
    assert not any("adapters" in kinds_in(modules) for modules in network(adapters=False).stages().values())
    unfreeze_only([made.trunk], ["adapters"])
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    nn.init.normal_(made.head.fc.weight)
    for block in [block for blocks in made.blocks().values() for block in blocks]:
        nn.init.ones_(block.bn2.weight)
    made(images).square().sum().backward()
    gradients = {name for name, parameter in made.trunk.named_parameters() if parameter.grad is not None}
    assert gradients == {name for name in made.trunk.state_dict() if "adapter" in name}
    assert all(adapter.weight.grad.abs().sum() > 0 for adapter in adapters_of(made))


def test_published_weights_load_and_own_ones_bring_their_adapters(tmp_path: Path) -> None:
    load = partial(load_weights, keep_classifier=False)
    torch.save(resnet("resnet20_cifar").state_dict(), tmp_path / "plain.pth")
    fresh = resnet("resnet20_cifar", adapters=True)
    _, report = load(fresh, str(tmp_path / "plain.pth"))
    assert report.missing == []
    assert "adapted: layer1.0.conv1.adapter.weight" in str(report)
    assert "not in the file, start at zero" in str(report)
    assert not any(adapter.weight.any() for adapter in adapters_of(fresh))

    torch.save(trained(fresh).state_dict(), tmp_path / "adapted.pth")
    _, report = load(again := resnet("resnet20_cifar", adapters=True), str(tmp_path / "adapted.pth"))
    assert report.adapted == {}
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in fresh.state_dict().items())
    with pytest.raises(WeightsError, match=r"adapted.pth holds 18 adapters, which need backbone.adapters: true$"):
        load(resnet("resnet20_cifar"), str(tmp_path / "adapted.pth"))
