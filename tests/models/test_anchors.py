"""Anchors equal torchvision's where strides divide the image, and stay on the cells where they do not."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from resnet_tl.models.anchors import Anchors
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.structures.records import Level

LEVELS = [Level("p3", 16, 8), Level("p4", 16, 16), Level("p7", 16, 128)]
SIZES = [[32, 40], [64, 80], [512, 645]]


def grids(height: int, width: int) -> list[tuple[int, int]]:
    return [(-(-height // level.stride), -(-width // level.stride)) for level in LEVELS]


def torchvisions(height: int, width: int) -> torch.Tensor:
    generator = AnchorGenerator(tuple(map(tuple, SIZES)), ((0.5, 1.0, 2.0),) * len(SIZES))
    images = ImageList(torch.zeros(1, 3, height, width), [(height, width)])
    (anchors,) = generator(images, [torch.zeros(1, 16, *grid) for grid in grids(height, width)])
    return anchors


@pytest.mark.parametrize("floor_strides", [False, True])
def test_anchors_equal_torchvision_where_strides_divide_the_image(floor_strides: bool) -> None:
    anchors = Anchors(LEVELS, SIZES, floor_strides=floor_strides)(grids(256, 384), (256, 384))
    assert [len(level) for level in anchors] == [rows * columns * 6 for rows, columns in grids(256, 384)]
    assert torch.equal(torch.cat(anchors), torchvisions(256, 384))


def test_floor_strides_equal_torchvision_for_every_size() -> None:
    anchors = Anchors(LEVELS, SIZES, floor_strides=True)(grids(200, 320), (200, 320))
    assert torch.equal(torch.cat(anchors), torchvisions(200, 320))


def test_cells_are_a_stride_apart_for_every_size() -> None:
    p7 = Anchors(LEVELS, SIZES)(grids(200, 320), (200, 320))[-1].view(2, 3, 6, 4)
    centres = (p7[..., :2] + p7[..., 2:]) / 2
    assert (centres.diff(dim=1)[..., 0] == 128).all()
    assert (centres.diff(dim=0)[..., 1] == 128).all()
    assert not Anchors(LEVELS, SIZES).state_dict(), "anchors are derived, never saved"


def test_floor_strides_of_an_image_without_padding_are_those_of_the_padded_one() -> None:
    """Prediction pads nothing; 300 // 38 cells would be 7 pixels where the network was trained with 8."""
    head = RetinaNet([Level(f"p{depth}", 16, 2**depth) for depth in (3, 4, 5)], ["ant"], floor_strides=True)
    whole, alone = ({f"p{d}": torch.randn(1, 16, -(-h // 2**d), 10) for d in (3, 4, 5)} for h in (320, 300))
    padded, unpadded = head(whole, None, (320, 80)).anchors, head(alone, None, (300, 80)).anchors
    for with_padding, without in zip(padded, unpadded, strict=True):
        assert torch.equal(with_padding[: len(without)], without)
