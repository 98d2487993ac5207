"""Pasted masks equal torchvision's, or have the values at the centres of pixels; what is cropped is pasted back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from resnet_tl.models.pasting import Cutout, paste, to_crop
from resnet_tl.structures.boxes import clip
from resnet_tl.structures.masks import Polygon, bounds, to_pixels

SIZE = 40, 50


def masks_and_boxes() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=draw) * 50
    boxes = torch.cat([corner, corner + torch.rand(60, 2, generator=draw) ** 2 * 60], 1)
    boxes = clip(boxes[None], torch.tensor([SIZE]))[0]
    boxes[:4] = torch.tensor([[0.0, 0, 50, 40], [0, 0, 0.4, 3], [49.6, 39.7, 50, 40], [10, 10, 10, 10]])
    return torch.rand(60, 7, 7, generator=draw), boxes


def on_image(cutout: Cutout, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    pixels, top, left = cutout
    whole = np.zeros(size, bool)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def test_pasting_equals_torchvision() -> None:
    masks, boxes = masks_and_boxes()
    expected = paste_masks_in_image(masks[:, None], boxes, SIZE)[:, 0] > 0.5
    for mask, box, whole in zip(masks, boxes, expected, strict=True):
        assert (on_image(paste(mask, box, SIZE)) == whole.numpy()).all()
    assert expected.any((1, 2)).sum() > 40


def test_an_aligned_pixel_has_the_value_at_its_centre() -> None:
    """As detectron2's `paste_masks_in_image`, which samples the whole image on a grid."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    found = 0
    for mask, box in zip(*masks_and_boxes(), strict=True):
        x1, y1, x2, y2 = box.tolist()
        pixels = on_image(paste(mask, box, SIZE, aligned=True))
        if x1 == x2:
            assert not pixels.any()
            continue
        grid = torch.stack([(x - x1) / (x2 - x1), (y - y1) / (y2 - y1)], -1) * 2 - 1
        values = grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0].numpy()
        clear = np.abs(values - 0.5) > 1e-5
        assert (pixels[clear] == (values >= 0.5)[clear]).all()
        found += int(pixels.sum())
    assert found > 1000


def disc(rng: np.random.Generator, side: float) -> Polygon:
    return _around(rng, np.linspace(0, 2 * np.pi, 64, endpoint=False), np.full(64, side / 2))


def polygon(rng: np.random.Generator, side: float) -> Polygon:
    corners = int(rng.integers(3, 12))
    return _around(rng, np.sort(rng.uniform(0, 2 * np.pi, corners)), side / 2 * rng.uniform(0.4, 1, corners))


def _around(rng: np.random.Generator, angles: NDArray, radii: NDArray) -> Polygon:
    corners = rng.uniform(140, 160, 2) + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
    return corners.astype(np.float32)


@pytest.mark.parametrize("shape", [disc, polygon])
@pytest.mark.parametrize("side", [8, 32, 128, 256])
def test_more_of_an_aligned_mask_comes_back_at_every_size(shape: type, side: int) -> None:
    """IoU of an object with what is pasted of its crop of 28 x 28: the best that a mask head can learn."""
    rng, size = np.random.default_rng(side), (300, 300)
    scores = []
    for _ in range(25):
        corners = shape(rng, side)
        pixels = to_pixels([corners], *size)
        if not pixels.any():
            continue
        box, one = torch.from_numpy(bounds([corners])), torch.from_numpy(pixels)[None]
        pair = []
        for aligned in (True, False):
            cropped = project_masks_on_boxes(one, to_crop(box[None], aligned=aligned), torch.zeros(1).long(), 28)[0]
            pasted = on_image(paste(cropped, box, size, aligned=aligned), size)
            pair.append((pasted & pixels).sum() / (pasted | pixels).sum())
        scores.append(pair)
    ours, torchvisions = np.mean(scores, axis=0)
    assert ours > 0.97
    assert ours > torchvisions
    assert side > 32 or torchvisions < 0.95, "the bar of detectron2's own test of the pair"
