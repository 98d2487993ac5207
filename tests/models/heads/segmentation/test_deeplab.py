from __future__ import annotations

import pytest
from torch import nn

from resnet_tl.models.heads.segmentation.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from resnet_tl.structures.records import Level


def dilations(head: DeepLabV3Head | DeepLabV3PlusHead) -> list[int]:
    return [m.dilation[0] for m in head.modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1]


@pytest.mark.parametrize(("stride", "expected"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])])
def test_dilations_reach_equally_far_in_pixels_at_every_stride(stride: int, expected: list[int]) -> None:
    levels = [Level("c2", 8, 4), Level("c5", 32, stride)]
    assert dilations(DeepLabV3Head(levels, ["a", "b"])) == expected
    assert dilations(DeepLabV3PlusHead(levels, ["a", "b"])) == expected


def test_the_plus_decoder_joins_the_shallowest_level_of_stride_4() -> None:
    levels = [Level("c1", 4, 2), Level("c2", 8, 4), Level("c3", 16, 8), Level("c5", 32, 16)]
    head = DeepLabV3PlusHead(levels, ["a", "b"])
    assert head.decoder.reads == ("c2", "c5")
    assert head.decoder.stride == 4
