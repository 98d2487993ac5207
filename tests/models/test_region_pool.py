"""Regions are cropped from the level of their size, at the centres of cells where that is asked for."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from resnet_tl.models.region_pool import roi_pool
from resnet_tl.structures.records import Level

LEVELS = [Level(f"p{depth}", 3, 2**depth) for depth in (2, 3, 4, 5, 6)]
SIZE = 1024


@pytest.mark.parametrize("aligned", [True, False])
def test_regions_are_cropped_up_to_stride_32_at_known_scales(aligned: bool) -> None:
    pool = roi_pool(LEVELS, 7, aligned=aligned)
    assert pool.featmap_names == ["p2", "p3", "p4", "p5"]
    assert pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    small, large = torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([[0.0, 0, 1000, 1000]])
    assert pool.map_levels([small, large]).tolist() == [0, 3]


def regions(count: int) -> list[torch.Tensor]:
    """Two images' boxes of all sizes, in random order."""
    draw = torch.Generator().manual_seed(count)
    corners = torch.rand(2, count, 2, generator=draw) * SIZE / 4
    sides = 2 ** (1 + 8.5 * torch.rand(2, count, 1, generator=draw)) * torch.tensor([1.2, 0.8])
    return list(torch.cat([corners, corners + sides], 2))


def test_each_region_is_cropped_by_itself_at_the_centres_of_cells() -> None:
    torch.manual_seed(0)
    pool = roi_pool(LEVELS, 7, aligned=True)
    maps = {each.name: torch.randn(2, 3, SIZE // each.stride, SIZE // each.stride) for each in LEVELS}
    boxes = regions(40)
    found, levels = pool(maps, boxes, [(SIZE, SIZE)] * 2), pool.map_levels(boxes).tolist()
    assert set(levels) == {0, 1, 2, 3}
    for crop, box, level, image in zip(found, torch.cat(boxes), levels, [0] * 40 + [1] * 40, strict=True):
        alone = maps[LEVELS[level].name][image : image + 1]
        expected = roi_align(alone, [box[None]], 7, 1 / LEVELS[level].stride, 2, aligned=True)[0]
        torch.testing.assert_close(crop, expected)


def test_the_aligned_crop_of_a_ramp_is_where_its_region_is() -> None:
    """Maps whose cell i has the value of its centre, (i + 0.5) x stride: the crop has the coordinates of its cells."""
    maps = {
        each.name: ((torch.arange(SIZE // each.stride) + 0.5) * each.stride).expand(1, 3, SIZE // each.stride, -1)
        for each in LEVELS
    }
    boxes = torch.tensor([[100.0, 100, 113, 110], [80, 60, 200, 170], [70, 64, 390, 400]])
    expected = boxes[:, :1] + (torch.arange(7) + 0.5) / 7 * (boxes[:, 2:3] - boxes[:, :1])
    crops = {kind: roi_pool(LEVELS, 7, aligned=kind)(maps, [boxes], [(SIZE, SIZE)]) for kind in (True, False)}
    torch.testing.assert_close(crops[True][:, 0, 0], expected)
    assert (crops[False][:, 0, 0] - expected > 1.9).all(), "half of a cell of 4 pixels, or of larger ones"


def test_no_region_gives_no_crop_and_maps_get_gradients() -> None:
    pool = roi_pool(LEVELS, 7, aligned=True)
    maps = {
        each.name: torch.randn(1, 3, SIZE // each.stride, SIZE // each.stride, requires_grad=True) for each in LEVELS
    }
    crops = pool(maps, [torch.zeros(0, 4)], [(SIZE, SIZE)])
    assert crops.shape == (0, 3, 7, 7)
    pool(maps, [torch.tensor([[8.0, 8, 40, 40]])], [(SIZE, SIZE)]).sum().backward()
    assert maps["p2"].grad is not None
    assert maps["p2"].grad.abs().sum() > 0
    assert isinstance(pool, MultiScaleRoIAlign)
