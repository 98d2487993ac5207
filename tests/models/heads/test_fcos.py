"""FCOS where it differs from torchvision's."""

from __future__ import annotations

import torch

from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.structures.records import Boxes, Level


def test_every_side_gets_a_gradient_from_the_first_step() -> None:
    """If sides started around 0, ReLU would clip half of them, without a gradient."""
    torch.manual_seed(0)
    levels = [Level("p3", 32, 8), Level("p4", 32, 16), Level("p5", 32, 32)]
    head = FCOS(levels, ["cell"])
    maps = {level.name: torch.randn(2, 32, 128 // level.stride, 128 // level.stride) for level in levels}
    outputs = head(maps, None, (128, 128))
    for regressed in outputs.regressed:
        assert (regressed[..., :4] > 0).float().mean() > 0.99
    boxes = torch.tensor([[10.0, 10, 60, 70], [40, 20, 70, 40], [5, 5, 120, 90]])
    none = torch.zeros(3)
    objects = Boxes(boxes, none.long(), torch.tensor([0, 0, 1]), none.bool(), none)
    head.loss(outputs, objects)["box"].backward()
    assert (head.box.bias.grad.abs() > 1e-3).all()
