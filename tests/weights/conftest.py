"""Networks whose weights reveal a forgotten tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.resnet import resnet

SOME_VARIANTS = ("resnet18", "resnet34", "resnet50", "resnet_tiny", "resnet20_cifar", "resnet56_cifar")


def some_variants() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """Like `shapes_by_variant`, which takes seconds for all variants."""
    for name in SOME_VARIANTS:
        with torch.device("meta"):
            yield name, {key: tuple(value.shape) for key, value in resnet(name).state_dict().items()}


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Sets every tensor, including statistics and counters, to distinct random values."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        else:
            value.fill_(int(torch.randint(1, 9, (), generator=generator)))
    return module.eval()


def saved(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor], prefix: str = "") -> bool:
    return all(torch.equal(tensor, theirs[prefix + key]) for key, tensor in ours.items())


@pytest.fixture
def small() -> dict[str, Tensor]:
    """Returns the content of a file of the tiny trunk."""
    return dict(randomised(resnet("resnet_tiny")).state_dict())


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
