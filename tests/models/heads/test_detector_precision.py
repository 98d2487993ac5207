"""Detectors under bf16 on a CPU: losses close to those of fp32, with the same weights and batch.

`pytest -m slow -s tests/models/heads/test_detector_precision.py` runs ResNet-50 at 320 px and prints the terms.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.records import Boxes

CLASSES = ["ant", "bee", "cat"]
HEADS: dict[str, Any] = {
    "retinanet": functools.partial(RetinaNet, norm="group"),
    "retinanet plain": RetinaNet,
    "fcos": FCOS,
    "faster": functools.partial(FasterRCNN, samples=64),
    "mask": functools.partial(MaskRCNN, samples=64),
}


def network(head: str, trunk: str, channels: int) -> Network:
    two_stage = head in ("faster", "mask")
    outputs = ("p2", "p3", "p4", "p5", "p6") if two_stage else ("p3", "p4", "p5", "p6", "p7")
    neck = functools.partial(FPN, channels=channels, outputs=outputs, extra="pool" if two_stage else "conv")
    torch.manual_seed(0)
    made = build(Backbone(trunk, zero_init_last=False), neck, HEADS[head], CLASSES)
    if not two_stage:  # imitates a trained head
        nn.init.normal_(made.head.logits.weight, std=0.05)
    return made.eval()  # keeps the statistics fixed


def batch(side: int) -> tuple[Tensor, Boxes]:
    draw = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, side // 16, side // 16, generator=draw)
    images = (nn.functional.interpolate(coarse, size=side, mode="bilinear") * 255).to(torch.uint8)
    corner = torch.rand(12, 2, generator=draw) * 0.6 * side
    boxes = torch.cat([corner, corner + side * (0.1 + 0.3 * torch.rand(12, 2, generator=draw))], 1)
    masks = [[box[[0, 1, 2, 1, 2, 3]].view(3, 2).numpy()] for box in boxes]
    number = torch.arange(12)
    return images, Boxes(boxes, number % 3, number // 8, number < 0, boxes[:, 2], masks)


def compare(head: str, trunk: str, side: int, channels: int) -> dict[str, float]:
    """Returns the difference of each term and of their sum to fp32, relative to the sum."""
    made, (images, targets) = network(head, trunk, channels), batch(side)
    with torch.no_grad():
        exact = made(images)
        torch.manual_seed(2)
        expected = made.head.loss(exact, targets)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = made(images)
            if head in ("faster", "mask"):
                rounded = rounded._replace(proposals=exact.proposals)
            torch.manual_seed(2)
            terms = made.head.loss(rounded, targets)
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    total = float(torch.stack(list(expected.values())).sum())
    differences = {name: float(terms[name] - expected[name]) / total for name in terms}
    assert any(differences.values()), "something was rounded"
    return {**differences, "sum": sum(differences.values())}


@pytest.mark.parametrize("head", HEADS)
def test_losses_are_within_2_percent_of_fp32(head: str) -> None:
    assert max(map(abs, compare(head, "resnet18", 96, 32).values())) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_losses_of_resnet50_are_within_2_percent_of_fp32(head: str) -> None:
    differences = compare(head, "resnet50", 320, 256)
    print(f"\n{head}: " + "  ".join(f"{name} {100 * value:+.2f} %" for name, value in differences.items()), end="")
    assert max(map(abs, differences.values())) <= 0.02
