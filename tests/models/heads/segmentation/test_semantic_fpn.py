from __future__ import annotations

import pytest
import torch

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
