"""Networks of other libraries with weights that a forgotten tensor would betray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.resnet import resnet


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every tensor, statistics and counters too, becomes a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        else:
            value.fill_(int(torch.randint(1, 9, (), generator=generator)))
    return module.eval()


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor], prefix: str = "") -> bool:
    return all(torch.equal(tensor, theirs[prefix + key]) for key, tensor in ours.items())


@pytest.fixture
def small() -> dict[str, Tensor]:
    """What a file of the tiny trunk holds."""
    return dict(shaken(resnet("resnet_tiny")).state_dict())


class Classified(nn.Module):
    """A trunk and a classifier, with torchvision's keys."""

    def __init__(self, name: str, classes: int, **options: Any) -> None:
        super().__init__()
        self.trunk = resnet(name, **options)
        self.preprocessing = self.trunk.preprocessing
        self.head = nn.Module()
        self.head.fc = nn.Linear(self.trunk.feature_info[-1].channels, classes)

    @property
    def keys(self) -> dict[str, str]:
        return {key: key.removeprefix("trunk.").removeprefix("head.") for key in self.state_dict()}


@pytest.fixture
def classified() -> Callable[..., Classified]:
    return Classified
