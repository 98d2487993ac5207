"""Pasted masks equal torchvision's."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from resnet_tl.models.pasting import paste
from resnet_tl.structures.boxes import clip


def test_pasting_equals_torchvision() -> None:
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=draw) * 50
    boxes = torch.cat([corner, corner + torch.rand(60, 2, generator=draw) ** 2 * 60], 1)
    boxes = clip(boxes[None], torch.tensor([[40, 50]]))[0]
    boxes[:4] = torch.tensor([[0.0, 0, 50, 40], [0, 0, 0.4, 3], [49.6, 39.7, 50, 40], [10, 10, 10, 10]])
    masks = torch.rand(60, 7, 7, generator=draw)
    expected = paste_masks_in_image(masks[:, None], boxes, (40, 50))[:, 0] > 0.5
    for mask, box, whole in zip(masks, boxes, expected, strict=True):
        pixels, top, left = paste(mask, box, (40, 50))
        found = np.zeros((40, 50), bool)
        found[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        assert (found == whole.numpy()).all()
    assert expected.any((1, 2)).sum() > 40
