"""A column of zeros keeps the gradients of strided convolutions right on maps of one pixel's width."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from resnet_tl.run.narrow_maps import PadNarrowMaps


def hooked(layer: nn.Module, precision: str = "bf16-mixed", device: str = "cpu") -> PadNarrowMaps:
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), precision=precision)
    pad, module = PadNarrowMaps(), nn.ModuleList([layer])
    pad.setup(trainer, module, "fit")  # type: ignore[arg-type]
    return pad


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 1), (1, 2), (4, 5)])
def test_outputs_and_gradients_are_the_same(kernel: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, kernel, stride=2, padding=kernel // 2)
    padded = copy.deepcopy(plain)
    hooked(padded)
    assert len(padded._forward_pre_hooks) == 1
    images = torch.randn(3, 4, height, width)
    found = []
    for layer in (plain, padded):
        maps = images.clone().requires_grad_()
        out = layer(maps)
        out.square().sum().backward()
        found.append((out, maps.grad, layer.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_in_bf16_are_those_in_32_bits_up_to_rounding() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, stride=2, padding=1).to(memory_format=torch.channels_last)
    maps = torch.randn(4, 64, 1, 1)
    hooked(layer)
    layer(maps).square().sum().backward()
    assert layer.weight.grad is not None
    expected, layer.weight.grad = layer.weight.grad, None
    for _ in range(10):
        torch.full((1 << 18,), torch.nan)  # freed at once: memory that it must not read
        layer.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(maps)
        out.float().square().sum().backward()
        torch.testing.assert_close(layer.weight.grad, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1),  # not strided: it would return two columns
        nn.Conv2d(4, 4, 1, stride=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(4),
    ],
)
def test_others_stay_as_they_are(layer: nn.Module) -> None:
    hooked(layer)
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize(("precision", "device"), [("32-true", "cpu"), ("bf16-mixed", "cuda")])
def test_it_is_for_bf16_on_cpus(precision: str, device: str) -> None:
    layer = nn.Conv2d(4, 4, 3, stride=2, padding=1)
    hooked(layer, precision, device)
    assert not layer._forward_pre_hooks


def test_nothing_is_left_after_the_fit() -> None:
    layer = nn.Conv2d(4, 4, 3, stride=2, padding=1)
    pad = hooked(layer)
    with torch.no_grad():
        assert layer(torch.ones(1, 4, 1, 1)).shape[-1] == 1
    pad.teardown(SimpleNamespace(), layer, "fit")  # type: ignore[arg-type]
    assert not layer._forward_pre_hooks
