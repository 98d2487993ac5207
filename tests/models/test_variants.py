from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_tl.models.resnet import resnet
from resnet_tl.models.variants import VARIANTS


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7), (1202, 19.4)]
)
def test_cifar_nets_have_the_size_in_the_paper(depth: int, millions: float) -> None:
    with torch.device("meta"):
        trunk = resnet(f"resnet{depth}_cifar")
    classifier = 64 * 10 + 10
    count = (sum(parameter.numel() for parameter in trunk.parameters()) + classifier) / 1e6
    assert round(count, 2 if count < 1 else 1) == millions  # table 6
    assert sum(isinstance(module, nn.Conv2d) for module in trunk.modules()) == depth - 1


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_depth_in_the_name_counts_the_layers_with_weights(name: str) -> None:
    variant = VARIANTS[name]
    in_block = {"basic": 2, "bottleneck": 3}[variant.block]
    assert 1 + in_block * sum(variant.depths) + 1 == int(name.removeprefix("resnet"))


def test_every_variant_has_as_many_widths_as_depths() -> None:
    assert all(len(variant.widths) == len(variant.depths) for variant in VARIANTS.values())
    assert {len(variant.stem) for variant in VARIANTS.values()} == {1, 3}
