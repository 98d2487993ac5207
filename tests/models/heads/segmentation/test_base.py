"""Segmentation heads beyond the contract of heads in tests/contracts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.losses import CrossEntropy, Dice
from resnet_tl.models.network import public_keys
from resnet_tl.weights.load import load_weights
from tests.models.heads.segmentation.networks import CLASSES, HEADS, network


@pytest.mark.parametrize(("kind", "stride"), [*((kind, 32) for kind in HEADS), ("unet", 8), ("deeplabv3+", 16)])
def test_an_image_of_333_x_517_has_logits_of_its_size(kind: str, stride: int) -> None:
    net = network(kind, output_stride=stride).eval()
    with torch.no_grad():
        probabilities = net.head.predict(net(torch.randint(0, 256, (1, 3, 333, 517), dtype=torch.uint8)))
    assert probabilities.shape == (1, 3, 333, 517)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 333, 517))


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3+", "psp", "unet"])
def test_nets_for_small_images_can_be_trained(kind: str) -> None:
    net = network(kind, "resnet20_cifar")
    outputs = net(torch.randint(0, 256, (2, 3, 33, 45), dtype=torch.uint8))
    assert outputs.main.shape == (2, 3, 33, 45)
    sum(net.head.loss(outputs, torch.zeros(2, 33, 45)).values()).backward()


@pytest.mark.parametrize("kind", ["deeplabv3", "deeplabv3+", "psp"])
def test_a_single_image_passes_the_norm_after_pooling(kind: str) -> None:
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


@pytest.mark.parametrize("losses", [[], [CrossEntropy]])
def test_invalid_options_are_one_sentence(losses: list[Callable]) -> None:
    if losses:
        with pytest.raises(RecipeError, match="only \\['cell'\\]; name the background too"):
            network("fcn", classes=["cell"], losses=losses)
    else:
        with pytest.raises(RecipeError, match=r"head.losses must be a list of PixelLoss, not empty, got \[\]"):
            network("fcn", losses=losses)


@pytest.mark.parametrize("classes", [CLASSES, ["car", "sky", "road"], ["cell", "nothing"]])
def test_a_decoder_is_loaded_for_any_classes_and_the_classifier_by_their_names(
    classes: list[str], tmp_path: Path
) -> None:
    """Loads a state dict as a checkpoint holds it."""
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


def test_another_decoder_is_skipped_and_named(tmp_path: Path) -> None:
    file = tmp_path / "trained.pth"
    torch.save({f"network.{key}": value for key, value in network("unet").state_dict().items()}, file)
    deeplab = network("deeplabv3")
    _, report = load_weights(deeplab, str(file), keys=public_keys(deeplab), classes=CLASSES)
    assert any("another decoder" in why for why in report.skipped.values())
    assert not any(key.startswith("head.") for key in report.loaded)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(first.parameters(), second.parameters(), strict=True))
    return all(torch.equal(a, b) for a, b in pairs)
