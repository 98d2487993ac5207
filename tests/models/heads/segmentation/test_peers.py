"""Heads equal torchvision's and segmentation_models.pytorch's, with the same weights.

`pytest -m slow -s` on this file compares the published sizes (ResNet-50) and prints the largest difference of each,
relative to the largest value of the reference. segmentation_models.pytorch enlarges by corners (align_corners) in its
FPN, resnet_tl by pixels, which suits images of any size: its FPN is compared with that one change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCN
from torchvision.models.segmentation.fcn import FCNHead as TheirFCNHead

from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.variants import VARIANTS, Variant
from resnet_tl.weights.load import load_weights

CLASSES = [f"class {k}" for k in range(21)]
HEADS = {"fcn": FCNHead, "deeplabv3": DeepLabV3Head}


@pytest.fixture(autouse=True)
def _quick_bottleneck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "resnet14", Variant("bottleneck", (1, 1, 1, 1)))
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", HEADS)
def test_outputs_equal_torchvision_from_its_file(kind: str, tmp_path: Path) -> None:
    trunk = torchvision.models.ResNet(
        torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True]
    )
    levels = IntermediateLayerGetter(trunk, return_layers={"layer4": "out", "layer3": "aux"})
    theirs: nn.Module
    if kind == "fcn":
        theirs = FCN(levels, TheirFCNHead(2048, 21), TheirFCNHead(1024, 21))
    else:
        theirs = DeepLabV3(levels, DeepLabHead(2048, 21), TheirFCNHead(1024, 21))
    assert compare_with_torchvision(theirs, kind, "resnet14", tmp_path, size=(64, 80)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", HEADS)
def test_outputs_equal_published_torchvision_models(kind: str, tmp_path: Path) -> None:
    build_theirs = getattr(torchvision.models.segmentation, f"{kind}_resnet50")
    theirs = build_theirs(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    difference = compare_with_torchvision(theirs, kind, "resnet50", tmp_path, size=(160, 224))
    print(f"\n{kind}_resnet50 against torchvision: {difference:.1e}")
    assert difference < 1e-4


def compare_with_torchvision(theirs: nn.Module, kind: str, name: str, folder: Path, size: tuple[int, int]) -> float:
    randomise_norms(theirs)
    file = folder / "theirs.pth"
    torch.save(theirs.state_dict(), file)
    ours = build(Backbone(name, output_stride=8), None, partial(HEADS[kind], auxiliary=0.5), CLASSES)
    _, report = load_weights(ours, str(file), keys=public_keys(ours), keep_classifier=True)
    assert not report.unexpected
    assert not report.skipped
    assert not report.missing
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        outputs, expected = ours.eval()(images), theirs.eval()(ours.normalise(images))
    return max(relative(outputs.main, expected["out"]), relative(outputs.auxiliary, expected["aux"]))


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_unet_equals_segmentation_models_pytorch(name: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    theirs = smp.Unet(name, encoder_weights=None, classes=21)
    ours = build(Backbone(name), None, UNetHead, CLASSES)
    copy_unet(theirs, ours)
    assert difference(theirs, ours) < 1e-4


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_semantic_fpn_equals_segmentation_models_pytorch_except_for_aligned_corners(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    enlarge = nn.functional.interpolate

    def by_pixels(x: Tensor, *args: Any, **options: Any) -> Tensor:
        return enlarge(x, *args, **options | ({"align_corners": False} if options.get("align_corners") else {}))

    theirs = smp.FPN(name, encoder_weights=None, classes=21)
    ours = build(Backbone(name), partial(FPN, smooth=False), SemanticFPNHead, CLASSES)
    copy_fpn(theirs, ours)
    as_published = difference(theirs, ours)
    monkeypatch.setattr(nn.functional, "interpolate", by_pixels)
    theirs.segmentation_head[1].align_corners = False
    assert difference(theirs, ours) < 1e-4 < as_published


def copy_unet(theirs: Any, ours: Network) -> None:
    """Copies in order: both decoders' state dicts run from input to output."""
    randomise_norms(theirs)
    ours.trunk.load_state_dict(theirs.encoder.state_dict())
    own, given = ours.head.decoder.state_dict(), list(theirs.decoder.state_dict().values())
    assert [value.shape for value in own.values()] == [value.shape for value in given]
    ours.head.decoder.load_state_dict(dict(zip(own, given, strict=True)))
    ours.head.fc.load_state_dict(theirs.segmentation_head[0].state_dict())


def copy_fpn(theirs: Any, ours: Network) -> None:
    randomise_norms(theirs)
    ours.trunk.load_state_dict(theirs.encoder.state_dict())
    lateral, branches = ours.neck.top_down.lateral, ours.head.decoder.branches
    laterals = {"c5": theirs.decoder.p5, **{f"c{k}": getattr(theirs.decoder, f"p{k}").skip_conv for k in (2, 3, 4)}}
    for level, layer in laterals.items():
        lateral[level][0].load_state_dict(layer.state_dict())
    for level, layers in zip(("p5", "p4", "p3", "p2"), theirs.decoder.seg_blocks, strict=True):
        for mine, other in zip(branches[level], layers.block, strict=True):
            mine.load_state_dict(other.block.state_dict())
    ours.head.fc.load_state_dict(theirs.segmentation_head[0].state_dict())


def difference(theirs: Callable[[Tensor], Tensor], ours: Network, size: tuple[int, int] = (64, 96)) -> float:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        expected = theirs.eval()(ours.normalise(images))  # type: ignore[attr-defined]
        largest = relative(ours.eval()(images).main, expected)
    print(f"\n{type(theirs).__name__}: {largest:.1e}")
    return largest


def randomise_norms(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.0)


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())
