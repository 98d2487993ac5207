"""Networks equal timm's and torchvision's, with the same weights.

`pytest -m slow -s tests/models/test_resnet_peers.py` compares every variant at every output stride and prints the
largest difference of each: maps in float32, gradients in float64, relative to the largest value of the reference.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from resnet_tl.models.resnet import ResNet, resnet
from resnet_tl.models.variants import VARIANTS

IMAGENET = [name for name in VARIANTS if timm.is_model(name)]
EVERYDAY = ["resnet18", "resnet14t", "seresnet18", "resnext50_32x4d"]
PAIRS = [
    (peer, name, stride)
    for name in IMAGENET
    for stride in (32, 16, 8)
    for peer in ("timm", "torchvision")
    # torchvision dilates bottlenecks only
    if peer == "timm" or (hasattr(torchvision.models, name) and (stride == 32 or VARIANTS[name].block == "bottleneck"))
]


def test_every_imagenet_variant_has_a_peer() -> None:
    ours_alone = {name for name in VARIANTS if name not in IMAGENET}
    assert ours_alone == {name for name in VARIANTS if name.endswith("_cifar")} | {"resnet_tiny"}
    assert len(IMAGENET) == 23
    assert sum(peer == "torchvision" and stride == 32 for peer, _, stride in PAIRS) == 10


@pytest.mark.parametrize(("peer", "name"), [(peer, name) for peer, name, stride in PAIRS if stride == 32])
def test_keys_shapes_and_parameter_counts_equal_the_peer(peer: str, name: str) -> None:
    with torch.device("meta"):
        ours, theirs = resnet(name), peer_model(peer, name, 32)
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    classifier = {"fc.weight", "fc.bias"}
    assert classifier <= set(shapes)
    assert {key: value.shape for key, value in ours.state_dict().items()} == {
        key: shape for key, shape in shapes.items() if key not in classifier
    }
    count = sum(parameter.numel() for parameter in ours.parameters())
    assert count == sum(value.numel() for key, value in theirs.named_parameters() if key not in classifier)


@pytest.mark.parametrize("name", EVERYDAY)
@pytest.mark.parametrize("stride", [32, pytest.param(8, marks=pytest.mark.slow)])
def test_maps_and_gradients_equal_timm(name: str, stride: int) -> None:
    assert_equal("timm", name, stride, batch=2)


@pytest.mark.parametrize(("peer", "name"), [("torchvision", "resnet18"), ("torchvision", "resnet50")])
def test_maps_and_gradients_equal_torchvision(peer: str, name: str) -> None:
    assert_equal(peer, name, 32 if name == "resnet18" else 8, batch=2)


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "name", "stride"), PAIRS)
def test_every_variant_equals_its_peer(peer: str, name: str, stride: int) -> None:
    maps, gradients = assert_equal(peer, name, stride, batch=8)
    print(f"\n{peer} {name} output stride {stride}: maps {maps:.1e}, gradients {gradients:.1e}", end="")


def test_group_norm_equals_timm() -> None:
    theirs = timm.create_model("resnet50_gn")
    ours = resnet("resnet50", norm="group", zero_init_last=False)
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    assert compare_maps(ours, theirs, timm_maps, torch.randn(2, 3, 64, 64)) <= 1e-5


@pytest.mark.parametrize("training", [True, False])
def test_drop_path_draws_and_scales_as_in_timm(training: bool) -> None:
    theirs = timm.create_model("resnet18", drop_path_rate=0.5).train(training)
    ours = matched(resnet("resnet18", drop_path=0.5), theirs).train(training)
    x = torch.randn(8, 3, 64, 64)
    with torch.no_grad(), torch.random.fork_rng():
        reference = timm_maps(theirs, x)
    with torch.no_grad():
        assert largest_difference(ours(x), reference) <= 1e-5


def assert_equal(peer: str, name: str, stride: int, batch: int) -> tuple[float, float]:
    torch.manual_seed(0)
    theirs = peer_model(peer, name, stride)
    ours = matched(resnet(name, output_stride=stride), theirs)
    run = timm_maps if peer == "timm" else torchvision_maps
    x = torch.randn(batch, 3, 64, 64)
    maps = max(compare_maps(ours.train(mode), theirs.train(mode), run, x) for mode in (False, True))
    assert largest_difference(dict(ours.named_buffers()), dict(theirs.named_buffers())) <= 1e-5
    gradients = compare_gradients(ours.double(), theirs.double(), run, x.double())
    assert maps <= 1e-5
    assert gradients <= 1e-9
    return maps, gradients


def compare_maps(ours: nn.Module, theirs: nn.Module, run: Callable[..., dict[str, Tensor]], x: Tensor) -> float:
    with torch.no_grad():
        return largest_difference(ours(x), run(theirs, x))


def compare_gradients(ours: nn.Module, theirs: nn.Module, run: Callable[..., dict[str, Tensor]], x: Tensor) -> float:
    for maps in (ours(x), run(theirs, x)):
        generator = torch.Generator().manual_seed(1)
        draws = (torch.randn(value.shape, generator=generator, dtype=value.dtype) for value in maps.values())
        torch.stack([(value * draw).mean() for value, draw in zip(maps.values(), draws, strict=True)]).sum().backward()
    references = {key: value.grad for key, value in theirs.named_parameters() if not key.startswith("fc.")}
    return largest_difference({key: value.grad for key, value in ours.named_parameters()}, references)


def largest_difference(ours: dict[str, Tensor], reference: dict[str, Tensor]) -> float:
    assert ours.keys() == reference.keys()
    assert all(value.abs().max() > 0 for value in reference.values())
    return max(float((ours[key] - value).abs().max() / value.abs().max()) for key, value in reference.items())


def matched(ours: ResNet, theirs: nn.Module) -> ResNet:
    """Gives both the same weights, none of them trivial, and ours the peer's memory layout."""
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.7)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    return ours.to(memory_format=torch.contiguous_format)


def peer_model(peer: str, name: str, stride: int) -> nn.Module:
    if peer == "timm":
        return timm.create_model(name, output_stride=stride)
    if stride == 32:
        return getattr(torchvision.models, name)()
    return getattr(torchvision.models, name)(replace_stride_with_dilation=[False, stride == 8, True])


def timm_maps(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    maps = model.forward_intermediates(x, intermediates_only=True)
    return {f"c{number}": value for number, value in enumerate(maps, start=1)}


def torchvision_maps(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = model.relu(model.bn1(model.conv1(x)))
    maps = {"c1": x}
    x = model.maxpool(x)
    for number in (1, 2, 3, 4):
        x = maps[f"c{number + 1}"] = model.get_submodule(f"layer{number}")(x)
    return maps
