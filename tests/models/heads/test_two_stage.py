"""Two-stage heads beyond torchvision's parts: strides, one image of a batch, shares of ranks."""

from __future__ import annotations

import pytest
import torch

from resnet_tl.models.heads.two_stage import FasterRCNN, MaskRCNN
from resnet_tl.models.region_pool import AlignedRoIAlign
from resnet_tl.structures.records import Boxes, Level

LEVELS = [Level(f"p{depth}", 16, 2**depth) for depth in (2, 3, 4, 5, 6)]


def maps(images: int, side: int = 64) -> dict[str, torch.Tensor]:
    return {level.name: torch.randn(images, 16, -(-side // level.stride), -(-side // level.stride)) for level in LEVELS}


@pytest.mark.parametrize(
    ("options", "aligned"),
    [
        ({}, True),
        ({"floor_strides": True}, False),
        ({"aligned": False}, False),
        ({"aligned": True, "floor_strides": True}, True),
    ],
)
def test_heads_are_aligned_but_for_torchvisions_weights(options: dict[str, bool], aligned: bool) -> None:
    head = MaskRCNN(LEVELS, ["ant"], **options)
    assert head.aligned == aligned
    for pool in (head.roi_heads.box_roi_pool, head.roi_heads.mask_roi_pool):
        assert isinstance(pool, AlignedRoIAlign) == aligned


@pytest.mark.parametrize("kind", [FasterRCNN, MaskRCNN])
def test_one_image_of_the_outputs_predicts_as_in_the_batch(kind: type[FasterRCNN]) -> None:
    torch.manual_seed(0)
    head = kind(LEVELS, ["ant", "bee"], score_threshold=0.0, detections=5).eval()
    with torch.no_grad():
        outputs = head(maps(2), torch.tensor([[64, 64], [40, 56]]), (64, 64))
        whole = head.predict(outputs)
        for number in range(2):
            single = head.predict(outputs.image(number))
            torch.testing.assert_close(single.boxes[0], whole.boxes[number], rtol=1e-4, atol=1e-3)
            torch.testing.assert_close(single.scores[0], whole.scores[number], rtol=1e-4, atol=1e-5)
            assert torch.equal(single.labels[0], whole.labels[number])
    assert whole.labels.min() == 0, "classes count from 0, without the background"
    assert (whole.masks is None) == (kind is FasterRCNN)


def test_proposals_do_not_depend_on_how_low_all_scores_are() -> None:
    torch.manual_seed(0)
    head, images = FasterRCNN(LEVELS, ["ant"]).eval(), maps(1, side=32)
    torch.nn.init.normal_(head.rpn.head.cls_logits.weight, std=0.5)
    proposals = []
    for logit in (0.0, -128.0):  # of which the sigmoid is 0
        torch.nn.init.constant_(head.rpn.head.cls_logits.bias, logit)
        with torch.no_grad():
            proposals.append(head(images, None, (32, 32)).proposals[0])
    torch.testing.assert_close(*proposals)


@pytest.mark.parametrize("kind", [FasterRCNN, MaskRCNN])
def test_losses_of_no_proposal_and_no_object_are_zero(kind: type[FasterRCNN]) -> None:
    head = kind(LEVELS, ["square", "disc"])
    outputs = head(maps(2), None, (64, 64))
    outputs = outputs._replace(proposals=[proposals[:0] for proposals in outputs.proposals])
    none = torch.zeros(0)
    terms = head.loss(outputs, Boxes(none.view(0, 4), none.long(), none.long(), none.bool(), none, []))
    assert {name: float(terms[name]) for name in ("class", "box")} == {"class": 0, "box": 0}
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
