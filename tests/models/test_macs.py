from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.macs import layer_macs, stage_macs
from resnet_tl.models.network import Backbone, build


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 1814), ("resnet50", 4089)])
def test_published_counts(name: str, millions: int) -> None:
    """4.09 and 1.81 GMAC at 224 pixels, as in torchvision's tables."""
    network = build(Backbone(name), None, LinearHead, [str(number) for number in range(1000)])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    counts = stage_macs(network, 224)
    assert list(counts) == list(network.stages())
    assert sum(counts.values()) / 1e6 == pytest.approx(millions, abs=1)
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)])
def test_grouped_and_transposed_convolutions(layer: nn.Module) -> None:
    x = torch.zeros(1, 4, 8, 8)
    assert layer_macs(layer, x, layer(x)) == (36 * 6 * 2 * 9 if isinstance(layer, nn.Conv2d) else 64 * 4 * 3 * 9)
