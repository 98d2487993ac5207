from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.stages import owners, stages_of


class Foreign(nn.Module):
    """A custom network inside a wrapper, with a parameter that belongs to no submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Module()
        self.net.position = nn.Parameter(torch.zeros(3))
        self.net.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.net.layer1 = nn.Linear(4, 4)
        self.net.layer2 = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.net.fc = nn.Linear(4, 2)


WHOLE = {"stem": ["net.stem", "net.position"], "layers": "net.layer*", "head": "net.fc"}


def test_paths_globs_and_lone_parameters() -> None:
    module = Foreign()
    stages = stages_of(module, WHOLE)
    assert list(stages) == ["stem", "layers", "head"]
    assert stages["layers"] == [module.net.layer1, module.net.layer2], "the outermost parts alone, in order"
    assert set(owners(stages)) == {id(parameter) for parameter in module.parameters()}
    assert owners(stages)[id(module.net.position)] == "stem"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({**WHOLE, "layers": "net.layer1"}, r"'net.layer2.0.weight' is in no stage \(nor are 3 more\)"),
        ({**WHOLE, "head": ["net.fc", "net.stem.0"]}, "'stem' and 'head' share the parameter 'net.stem.0.weight'"),
        (
            {**WHOLE, "head": "net.fcc"},
            "stages.head names 'net.fcc', which Foreign does not have; did you mean 'net.fc'",
        ),
        ({**WHOLE, "head": "fc*"}, r"stages.head names 'fc\*'"),
        (None, r"Foreign has no stages\(\).*net.stem, net.layer1, net.layer2, net.fc"),
    ],
)
def test_stages_must_cover_every_parameter_once(stages: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        stages_of(Foreign(), stages)
