"""FPN and PAN: equality with torchvision, any levels, any size."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from resnet_tl.errors import RecipeError
from resnet_tl.models.pyramid import FPN, PAN
from resnet_tl.models.resnet import resnet
from resnet_tl.structures.records import Level

LEVELS = [Level("c2", 8, 4), Level("c3", 12, 8), Level("c4", 16, 16), Level("c5", 24, 32)]
RETINANET = ("p3", "p4", "p5", "p6", "p7")


def maps(height: int, width: int, levels: list[Level] = LEVELS, images: int = 2) -> dict[str, Tensor]:
    return {
        name: torch.randn(images, channels, -(-height // stride), -(-width // stride))
        for name, channels, stride in levels
    }


def copy_weights(theirs: nn.Module, ours: FPN) -> None:
    """Copies convolution by convolution, in the order of the levels."""
    pairs = list(zip(ours.top_down.lateral.values(), theirs.inner_blocks, strict=True))
    pairs += zip(ours.top_down.smooth.values(), theirs.layer_blocks, strict=True)
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    if len(ours.beyond.convs):
        ours.beyond.convs["p6"].load_state_dict(theirs.extra_blocks.p6.state_dict())
        ours.beyond.convs["p7"].load_state_dict(theirs.extra_blocks.p7.state_dict())


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 200)])
@pytest.mark.parametrize("extra", ["pool", "conv", "conv_c5"])
def test_every_output_equals_torchvision(extra: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    blocks = {"pool": LastLevelMaxPool(), "conv": LastLevelP6P7(16, 16), "conv_c5": LastLevelP6P7(24, 16)}
    theirs = FeaturePyramidNetwork([8, 12, 16, 24], 16, blocks[extra])
    for bias in (value for name, value in theirs.named_parameters() if name.endswith("bias")):
        nn.init.normal_(bias)
    names = ["p2", "p3", "p4", "p5", "p6", *(["p7"] if extra != "pool" else [])]
    ours = FPN(LEVELS, channels=16, outputs=names, extra=extra)
    copy_weights(theirs, ours)
    seen = maps(*size)
    expected = list(theirs(OrderedDict(seen)).values())
    given = ours({"c1": torch.zeros(1), **seen})
    assert list(given) == names
    for name, value in zip(names, expected, strict=True):
        torch.testing.assert_close(given[name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("neck", [FPN, PAN])
@pytest.mark.parametrize("extra", ["pool", "conv", "conv_c5"])
@pytest.mark.parametrize("outputs", [("p2", "p5"), RETINANET, ("p4",), ("p3", "p7"), ("p6",), ("p2", "p3", "p4", "p5")])
@pytest.mark.parametrize("norm", [None, "group"])
def test_any_subset_is_returned_and_nothing_else_is_built(
    neck: type, extra: str, outputs: tuple, norm: str | None
) -> None:
    torch.manual_seed(0)
    module = neck(LEVELS, channels=16, outputs=outputs, extra=extra, norm=norm)
    seen = maps(65, 97)
    given = module({name: seen[name] for name in module.reads})
    assert tuple(given) == outputs == tuple(level.name for level in module.feature_info)
    for level in module.feature_info:
        assert given[level.name].shape == (2, level.channels, -(-65 // level.stride), -(-97 // level.stride))
    sum((value * value).sum() for value in given.values()).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []


def test_the_order_of_outputs_does_not_matter() -> None:
    assert [level.name for level in FPN(LEVELS, outputs=("p5", "p3")).feature_info] == ["p3", "p5"]


def test_deep_features_reach_shallow_levels_in_fpn_and_shallow_features_deep_levels_in_pan() -> None:
    for neck, changed in ((FPN, {"p2"}), (PAN, {"p2", "p3", "p4", "p5"})):
        torch.manual_seed(0)
        module, seen = neck(LEVELS, channels=16), maps(64, 64)
        before, after = module(seen), module({**seen, "c2": seen["c2"] + 1})
        assert {name for name in before if not torch.equal(before[name], after[name])} == changed


def test_it_works_on_a_trunk_without_a_network() -> None:
    trunk = resnet("resnet_tiny", levels=("c2", "c3", "c4", "c5"))
    pyramid = FPN(trunk.feature_info)(trunk(torch.randn(1, 3, 70, 90)))
    assert {name: tuple(value.shape[-2:]) for name, value in pyramid.items()} == {
        "p2": (18, 23),
        "p3": (9, 12),
        "p4": (5, 6),
        "p5": (3, 3),
    }


@pytest.mark.parametrize("neck", [FPN, PAN])
def test_it_exports_for_any_batch(neck: type) -> None:
    module = neck(LEVELS, channels=16, outputs=RETINANET).eval()
    seen = maps(64, 96, images=3)
    shapes = {name: {0: torch.export.Dim("n", max=64)} for name in seen}
    program = torch.export.export(module, (seen,), dynamic_shapes=(shapes,))
    seen = maps(64, 96, images=5)
    torch.testing.assert_close(program.module()(seen), module(seen))


def test_levels_of_other_names_are_a_recipe_error() -> None:
    with pytest.raises(RecipeError, match="the trunk has a level 'res4'; necks need names like c4"):
        FPN([Level("res4", 8, 16), Level("res5", 16, 32)], outputs=("p4",))


@pytest.mark.parametrize("outputs", [("p1",), ("p3", "c4"), ()])
def test_an_unknown_level_is_a_recipe_error(outputs: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match=r"neck\.outputs .* p2 p3 p4 p5 p6 p7"):
        FPN(LEVELS, outputs=outputs)
