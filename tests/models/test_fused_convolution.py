"""Fused convolutions compute what the separate operations compute, and only where they may."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_tl.models import fused_convolution
from resnet_tl.models.fold import fold
from resnet_tl.models.fused_convolution import FusedConv2d, use_fused_convolutions
from resnet_tl.models.resnet import resnet

IMAGES = torch.randn(4, 3, 64, 80, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
fuses = pytest.mark.skipif(not fused_convolution._supports(torch.float32), reason="needs oneDNN on an x86 CPU")


def conv_of(**options: Any) -> FusedConv2d:
    torch.manual_seed(0)
    options = {"kernel_size": 3, "padding": 1, **options}
    conv = nn.Conv2d(16, 32, **options).requires_grad_(False).to(memory_format=torch.channels_last)
    use_fused_convolutions(conv)
    assert isinstance(conv, FusedConv2d)
    return conv


def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 16, 20, 24, generator=generator).to(memory_format=torch.channels_last)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what ran fused, in order."""
    names: list[str] = []
    weight = fused_convolution._weight

    def seen(conv: FusedConv2d, x: Tensor) -> Tensor | None:
        packed = weight(conv, x)
        names.extend([] if packed is None else ["fused"])
        return packed

    monkeypatch.setattr(fused_convolution, "_weight", seen)
    return names


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weights_that_are_nan_are_not_hidden(name: str) -> None:
    conv, x = conv_of(), inputs()
    with torch.no_grad():
        getattr(conv, name).fill_(torch.nan)
        assert conv.relu(x).isnan().all()
        assert conv.add_relu(x, conv(x)).isnan().all()


@fuses
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"dilation": 2, "padding": 2}, {"groups": 8}, {"kernel_size": 1, "padding": 0}]
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_results_are_those_of_the_separate_operations(options: Any, bias: bool, runs: list[str]) -> None:
    conv, x = conv_of(bias=bias, **options), inputs()
    expected = conv(x.contiguous())  # runs unfused: not channels-last
    other = torch.randn_like(expected).to(memory_format=torch.channels_last)
    before = other.clone()
    with torch.no_grad():
        results = conv(x), conv.relu(x), conv.add_relu(x, other)
    assert len(runs) == 3
    for result, wanted in zip(results, (expected, expected.relu(), (expected + other).relu()), strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(other, before)


@fuses
def test_weights_that_were_written_replaced_or_cast_are_packed_again(runs: list[str]) -> None:
    conv, x = conv_of(), inputs()

    def check() -> None:
        with torch.no_grad():
            torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=1), rtol=1e-5, atol=1e-5)

    check()
    conv.weight.mul_(2)
    check()
    conv.weight = nn.Parameter(torch.randn_like(conv.weight), requires_grad=False)
    check()
    conv.load_state_dict({name: value * 3 for name, value in conv.state_dict().items()})
    check()
    assert len(runs) == 4
    with torch.no_grad():
        half = conv.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16


@fuses
@pytest.mark.filterwarnings("ignore:TF32")
def test_gradients_autocast_and_other_layouts_run_unfused(runs: list[str]) -> None:
    conv, x = conv_of(), inputs()
    conv(x)
    conv.weight.requires_grad_(True)
    conv.relu(x).sum().backward()
    assert conv.weight.grad is not None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv.relu(x).dtype == torch.bfloat16
    with torch.no_grad():
        conv(x.contiguous())
        conv(x[:0])
        with torch.backends.mkldnn.flags(enabled=False):
            conv(x)
    assert runs == []
    with torch.inference_mode():
        conv(x)
    assert runs == ["fused"]


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet20_cifar",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("resnet50", "resnet50d", "seresnet50", "resnext50_32x4d")
        ),
    ],
)
def test_a_folded_network_computes_what_the_network_does(name: str, runs: list[str]) -> None:
    torch.manual_seed(0)
    trunk = resnet(name, zero_init_last=False, drop_path=0.2).eval()
    folded = fold(trunk)
    images = IMAGES if "cifar" not in name else IMAGES[:, :, :32, :32].contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = trunk(images)
        maps = folded(images)
        again = folded(images)
    for level, value in maps.items():
        scale = expected[level].abs().max()
        assert (value - expected[level]).abs().max() < 1e-5 * scale
        assert torch.equal(value, again[level]), "a map that was returned is not overwritten"
        assert value.is_contiguous(memory_format=torch.channels_last)
    assert runs or not fused_convolution._supports(torch.float32)


def test_copies_and_files_hold_no_packed_weights() -> None:
    conv = conv_of()
    with torch.no_grad():
        conv(inputs())
    twin, read = copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))
    assert list(conv.state_dict()) == ["weight", "bias"]
    for other in (twin, read):
        assert other not in fused_convolution._packed
        assert torch.equal(other(inputs()), conv(inputs()))


def test_convolutions_of_other_kinds_stay() -> None:
    others = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding="same"), nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.Conv1d(3, 3, 1)
    )
    use_fused_convolutions(others)
    assert not any(isinstance(part, FusedConv2d) for part in others)
