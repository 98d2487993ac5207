"""What is particular to heads of segmentation; what all heads promise is in tests/contracts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.layers import enlarge
from resnet_tl.models.heads.segmentation.losses import CrossEntropy, Dice
from resnet_tl.models.heads.segmentation.psp import PSPHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone, NeckFactory, Network, build, public_keys
from resnet_tl.models.pyramid import FPN
from resnet_tl.weights.load import load_weights

CLASSES = ["sky", "road", "car"]
HEADS: dict[str, tuple[type[Head], NeckFactory | None]] = {
    "fcn": (FCNHead, None),
    "deeplabv3": (DeepLabV3Head, None),
    "deeplabv3+": (DeepLabV3PlusHead, None),
    "psp": (PSPHead, None),
    "unet": (UNetHead, None),
    "semantic fpn": (SemanticFPNHead, partial(FPN, channels=16)),
}


def network(
    kind: str, name: str = "resnet_tiny", output_stride: int = 32, classes: list[str] = CLASSES, **options
) -> Network:
    torch.manual_seed(0)
    head, neck = HEADS[kind]
    return build(Backbone(name, output_stride=output_stride), neck, partial(head, **options), classes)


@pytest.mark.parametrize(("kind", "stride"), [*((kind, 32) for kind in HEADS), ("unet", 8), ("deeplabv3+", 16)])
def test_an_image_of_333_x_517_comes_back_in_its_own_size(kind: str, stride: int) -> None:
    net = network(kind, output_stride=stride).eval()
    with torch.no_grad():
        probabilities = net.head.predict(net(torch.randint(0, 256, (1, 3, 333, 517), dtype=torch.uint8)))
    assert probabilities.shape == (1, 3, 333, 517)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 333, 517))


@pytest.mark.parametrize(("norm", "afar"), [("group", True), ("batch", False)])
def test_semantic_fpn_sees_the_whole_image_through_its_group_norm_alone(norm: str, afar: bool) -> None:
    head = network("semantic fpn", norm=norm).eval().head
    maps = {f"p{level}": torch.randn(1, 16, 256 >> level, 256 >> level) for level in (2, 3, 4, 5)}
    before = head(maps, None, (256, 256)).main
    maps["p2"] = maps["p2"].clone()
    maps["p2"][..., :4, :4] += 3
    assert (head(maps, None, (256, 256)).main[..., -9:, -9:] != before[..., -9:, -9:]).any() == afar


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3+", "psp", "unet"])
def test_the_nets_of_small_images_can_be_trained(kind: str) -> None:
    net = network(kind, "resnet20_cifar")
    outputs = net(torch.randint(0, 256, (2, 3, 33, 45), dtype=torch.uint8))
    assert outputs.main.shape == (2, 3, 33, 45)
    sum(net.head.loss(outputs, torch.zeros(2, 33, 45)).values()).backward()


@pytest.mark.parametrize("kind", ["deeplabv3", "deeplabv3+", "psp"])
def test_a_lone_image_does_not_stop_a_norm_behind_pooling(kind: str) -> None:
    """torchvision #2151: 'Expected more than 1 value per channel when training'."""
    net = network(kind).train()
    outputs = net(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    sum(net.head.loss(outputs, torch.zeros(1, 64, 64)).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.head.parameters())


@pytest.mark.parametrize("kind", HEADS)
def test_the_auxiliary_head_adds_its_weighted_loss(kind: str) -> None:
    losses = [CrossEntropy, partial(Dice, weight=0.5)]
    net = network(kind, auxiliary=0.4, losses=losses).eval()
    outputs = net(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    terms = net.head.loss(outputs, torch.randint(0, 3, (2, 64, 64)))
    assert list(terms) == ["cross_entropy", "dice", "auxiliary"]
    main = net.head.loss(outputs._replace(main=outputs.auxiliary, auxiliary=None), torch.zeros(2, 64, 64))
    other = net.head.loss(outputs, torch.zeros(2, 64, 64))
    torch.testing.assert_close(other["auxiliary"], 0.4 * (main["cross_entropy"] + main["dice"]))
    assert "auxiliary" in dict(net.head.named_children())


def test_a_map_is_enlarged_over_the_pixels_it_came_from() -> None:
    cells = torch.arange(3.0).view(1, 1, 1, 3)
    assert enlarge(cells, 4, (2, 9), "nearest")[0, 0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2]] * 2
    assert enlarge(cells, 1, (1, 2)).tolist() == [[[[0, 1]]]]


@pytest.mark.parametrize("losses", [[], [CrossEntropy]])
def test_wrong_options_are_one_sentence(losses: list[Callable]) -> None:
    if losses:
        with pytest.raises(RecipeError, match="only \\['cell'\\]; name the background too"):
            network("fcn", classes=["cell"], losses=losses)
    else:
        with pytest.raises(RecipeError, match=r"head.losses must be a list of PixelLoss, not empty, got \[\]"):
            network("fcn", losses=losses)
    with pytest.raises(RecipeError, match=r"head.channels has 2 values, expected 5"):
        network("unet", channels=(8, 4))
    with pytest.raises(RecipeError, match=r"head.stride is 3, expected 1 or one of a level that is not the deepest"):
        network("unet", stride=3)


def test_a_unet_that_ends_early_leaves_out_steps_and_what_they_read() -> None:
    whole, early = network("unet"), network("unet", channels=(32, 16, 8), stride=4)
    assert (len(whole.head.decoder.steps), len(early.head.decoder.steps)) == (5, 3)
    assert early._read == ["c5", "c4", "c3", "c2"]
    outputs = early(torch.randint(0, 256, (2, 3, 45, 70), dtype=torch.uint8))
    assert outputs.main.shape == (2, 3, 45, 70)
    assert early.head.fc.in_channels == 8


@pytest.mark.parametrize("classes", [CLASSES, ["car", "sky", "road"], ["cell", "nothing"]])
def test_a_decoder_is_loaded_whatever_the_classes_and_the_classifier_by_their_names(
    classes: list[str], tmp_path: Path
) -> None:
    """From a state dict as a checkpoint of ours holds it."""
    trained, fresh = network("unet", auxiliary=0.4), network("unet", classes=classes, auxiliary=0.4)
    for part in fresh.parameters():
        nn.init.zeros_(part)
    file = tmp_path / "trained.pth"
    torch.save({f"network.{key}": value for key, value in trained.state_dict().items()}, file)
    keep = classes == CLASSES
    _, report = load_weights(fresh, str(file), keys=public_keys(fresh), classes=classes, keep_classifier=keep)
    assert same(trained.head.decoder, fresh.head.decoder)
    assert same(trained.head.auxiliary.decoder, fresh.head.auxiliary.decoder)
    assert same(trained.head.fc, fresh.head.fc) == keep
    assert same(trained.head.auxiliary.fc, fresh.head.auxiliary.fc) == keep
    assert ("fc.weight" in report.skipped) != keep


def test_another_decoder_is_left_out_and_named(tmp_path: Path) -> None:
    file = tmp_path / "trained.pth"
    torch.save({f"network.{key}": value for key, value in network("unet").state_dict().items()}, file)
    deeplab = network("deeplabv3")
    _, report = load_weights(deeplab, str(file), keys=public_keys(deeplab), classes=CLASSES)
    assert any("another decoder" in why for why in report.skipped.values())
    assert not any(key.startswith("head.") for key in report.loaded)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(first.parameters(), second.parameters(), strict=True))
    return all(torch.equal(a, b) for a, b in pairs)
