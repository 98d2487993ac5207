from __future__ import annotations

import functools
import re

import pytest
import torch
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.structures.records import Preprocessing

TINY = Backbone("resnet_tiny")


@pytest.fixture
def network() -> Network:
    return build(TINY, None, LinearHead, ["a", "b", "c"]).eval()


def test_bytes_in_logits_out(network: Network) -> None:
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    assert network(images).shape == (2, 3)


def test_normalise_applies_mean_and_std_to_values_of_0_to_1(network: Network) -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(network.normalise(images), expected)
    torch.testing.assert_close(network.normalise(images.float()), expected)


def test_16_bit_images_are_scaled_by_65535(network: Network) -> None:
    images = torch.randint(0, 65536, (1, 3, 8, 8)).to(torch.uint16)
    expected = network.normalise(images.float() / 257)
    torch.testing.assert_close(network.normalise(images), expected)


def test_pixels_outside_the_sizes_become_zero(network: Network) -> None:
    images = torch.full((2, 3, 8, 8), 200, dtype=torch.uint8)
    normalised = network.normalise(images, torch.tensor([[8, 8], [5, 6]]))
    assert (normalised[0] != 0).all()
    assert (normalised[1, :, :5, :6] != 0).all()
    assert (normalised[1, :, 5:] == 0).all()
    assert (normalised[1, :, :, 6:] == 0).all()


def test_every_parameter_is_in_exactly_one_stage(network: Network) -> None:
    stages = network.stages()
    assert list(stages) == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    counted = [id(p) for modules in stages.values() for module in modules for p in module.parameters()]
    assert sorted(counted) == sorted(id(p) for p in network.parameters())


def test_public_keys_equal_torchvision() -> None:
    from torchvision.models import resnet18

    keys = public_keys(build(Backbone("resnet18"), None, LinearHead, ["a"] * 1000))
    assert set(keys.values()) == set(resnet18().state_dict())


def test_other_tensors_of_a_head_keep_their_keys() -> None:
    keys = public_keys(build(TINY, None, functools.partial(MLPHead, hidden=8), ["a", "b"]))
    assert keys["head.hidden.0.weight"] == "head.hidden.0.weight"
    assert keys["head.fc.weight"] == "fc.weight"


def test_mean_and_std_are_part_of_the_state_dict(network: Network) -> None:
    network.set_preprocessing(Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)))
    twin = build(TINY, None, LinearHead, ["a", "b", "c"])
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin.mean, torch.tensor([0.1, 0.2, 0.3]))


def test_other_channel_counts_use_the_mean_over_rgb() -> None:
    network = build(Backbone("resnet_tiny", in_channels=5), None, LinearHead, ["a", "b"])
    torch.testing.assert_close(network.mean, torch.full((5,), (0.485 + 0.456 + 0.406) / 3))
    assert network.eval()(torch.zeros(1, 5, 32, 32, dtype=torch.uint8)).shape == (1, 2)


class UsersTrunk(nn.Module):
    """A custom trunk, named in the recipe by its import path."""

    preprocessing = Preprocessing()

    def __init__(self, in_channels: int) -> None:
        from resnet_tl.structures.records import Level

        super().__init__()
        self.in_channels = in_channels
        self.conv = nn.Conv2d(in_channels, 6, 3, stride=2)
        self.feature_info = [Level("c1", 6, 2)]

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"stem": [self.conv]}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"c1": self.conv(x)}


def test_a_custom_trunk_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("users_package")
    module.UsersTrunk = UsersTrunk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "users_package", module)
    network = build(Backbone("users_package.UsersTrunk"), None, functools.partial(LinearHead, pool="max"), ["a", "b"])
    assert network(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 2)
    assert list(network.stages()) == ["stem", "head"]


@pytest.mark.parametrize("path", ["os.system", "os.getcwd", "collections.OrderedDict", "no.such.Trunk", "../.."])
def test_what_is_not_a_trunk_is_refused_and_not_called(path: str) -> None:
    with pytest.raises(RecipeError, match=rf"^backbone\.name: .*{re.escape(repr(path))}"):
        build(Backbone(path), None, LinearHead, ["a", "b"])


@pytest.mark.parametrize("path", ["resnet_tl.models.resnet.ResNet", f"{__name__}.TrunkOfImages"])
def test_a_trunk_that_needs_other_arguments_is_refused(path: str) -> None:
    with pytest.raises(RecipeError, match=rf"^backbone\.name: '{path}' cannot be called with in_channels alone \("):
        build(Backbone(path), None, LinearHead, ["a", "b"])


class TrunkOfImages(UsersTrunk):
    """Takes no `in_channels`."""

    def __init__(self, images: int = 3) -> None:
        super().__init__(images)
