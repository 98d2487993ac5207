from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.layers import enlarge
from resnet_tl.models.heads.segmentation.unet import JoiningConv
from tests.models.heads.segmentation.networks import network


def test_a_unet_that_ends_early_skips_steps_and_their_levels() -> None:
    whole, early = network("unet"), network("unet", channels=(32, 16, 8), stride=4)
    assert (len(whole.head.decoder.steps), len(early.head.decoder.steps)) == (5, 3)
    assert early._read == ["c5", "c4", "c3", "c2"]
    outputs = early(torch.randint(0, 256, (2, 3, 45, 70), dtype=torch.uint8))
    assert outputs.main.shape == (2, 3, 45, 70)
    assert early.head.fc.in_channels == 8


def test_invalid_options_are_one_sentence() -> None:
    with pytest.raises(RecipeError, match=r"head.channels has 2 values, expected 5"):
        network("unet", channels=(8, 4))
    with pytest.raises(RecipeError, match=r"head.stride is 3, expected 1 or one of a level that is not the deepest"):
        network("unet", stride=3)


@pytest.mark.parametrize("height", [6, 5])  # 5: the enlarged map is cropped
@pytest.mark.parametrize("skips", [4, 0])
@pytest.mark.parametrize("bias", [False, True])  # a folded convolution has one
def test_a_joining_convolution_equals_enlarging_joining_and_convolving(height: int, skips: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = JoiningConv(3, skips, 5, 2).double()
    if bias:
        conv.bias = nn.Parameter(torch.randn(5).double())
    height = height if skips else 6
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(2, skips, height, 8, dtype=torch.float64, requires_grad=True) if skips else None
    enlarged = enlarge(x, 2, (height, 8), "nearest")
    joined = enlarged if skip is None else torch.cat([enlarged, skip], 1)
    reference = nn.functional.conv2d(joined, conv.weight, conv.bias, padding=1)
    ours = conv(x, skip)
    torch.testing.assert_close(ours, reference)
    inputs = [x, *conv.parameters(), *([] if skip is None else [skip])]
    for gradient, expected in zip(gradients(ours, inputs), gradients(reference, inputs), strict=True):
        torch.testing.assert_close(gradient, expected)


def gradients(outputs: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((outputs * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum(), inputs)


def test_maps_twice_as_large_are_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.models.heads.segmentation.unet.enlarge", lambda *_: pytest.fail("enlarged"))
    network("unet")(torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8))
