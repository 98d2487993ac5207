from __future__ import annotations

from functools import partial

import pytest
import torch

from resnet_tl.models.heads.segmentation.semantic_fpn import SemanticFPNHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.models.pyramid import FPN
from tests.models.heads.segmentation.networks import network


@pytest.mark.parametrize(("norm", "afar"), [("group", True), ("batch", False)])
def test_semantic_fpn_depends_on_the_whole_image_only_through_group_norm(norm: str, afar: bool) -> None:
    head = network("semantic fpn", norm=norm).eval().head
    maps = {f"p{level}": torch.randn(1, 16, 256 >> level, 256 >> level) for level in (2, 3, 4, 5)}
    before = head(maps, None, (256, 256)).main
    maps["p2"] = maps["p2"].clone()
    maps["p2"][..., :4, :4] += 3
    assert (head(maps, None, (256, 256)).main[..., -9:, -9:] != before[..., -9:, -9:]).any() == afar


def test_every_level_reaches_the_output() -> None:
    decoder = network("semantic fpn").eval().head.decoder
    maps = {f"p{level}": torch.randn(1, 16, 64 >> level, 64 >> level, requires_grad=True) for level in (2, 3, 4, 5)}
    out = decoder(maps)
    assert out.shape == (1, decoder.channels, 16, 16)
    out.square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in maps.values())


def test_a_pyramid_from_stride_two_shows_thin_objects_to_the_head() -> None:
    """A pole of two pixels moves the cells of every second pixel that it covers, and few others as much."""
    torch.manual_seed(0)
    neck = partial(FPN, channels=16, outputs=("p1", "p2", "p3", "p4", "p5"), smooth=False)
    network = build(Backbone("resnet18"), neck, partial(SemanticFPNHead, channels=8, norm="batch"), ["road", "pole"])
    network.eval()
    assert network.head.decoder.stride == 2
    images = torch.zeros(1, 3, 63, 95, dtype=torch.uint8)
    with torch.no_grad():
        empty = network(images, None).main
        images[..., 40:42] = 255
        moved = (network(images, None).main - empty).abs().mean((0, 1, 2))
    assert empty.shape == (1, 2, 63, 95)
    assert 36 <= int(moved.argmax()) <= 45
