"""RetinaNet where torchvision's has no counterpart: ignored anchors, images without objects, the shares of images."""

from __future__ import annotations

import torch

from resnet_tl.models.heads.retinanet import BACKGROUND, OBJECT, RetinaNet
from resnet_tl.models.matching import IGNORED, match_by_overlap, pad
from resnet_tl.structures.records import Boxes, Level

LEVELS = [Level("p3", 16, 8), Level("p4", 16, 16)]


def maps(images: int) -> dict[str, torch.Tensor]:
    return {level.name: torch.randn(images, 16, 64 // level.stride, 64 // level.stride) for level in LEVELS}


def boxes(*each: list[list[float]]) -> Boxes:
    def image(corners: list[list[float]]) -> Boxes:
        zeros = torch.zeros(len(corners))
        return Boxes(torch.tensor(corners).view(-1, 4), zeros.long(), zeros.long(), zeros.bool(), zeros)

    return Boxes.join([image(corners) for corners in each])


def test_ignored_anchors_get_no_gradient() -> None:
    torch.manual_seed(0)
    head = RetinaNet(LEVELS, ["ant", "bee"])
    outputs = head(maps(1), None, (64, 64))
    logits = [level.detach().requires_grad_() for level in outputs.logits]
    targets = boxes([[8, 8, 44, 40]])
    match = match_by_overlap(pad(targets, 1), torch.cat(outputs.anchors), low=BACKGROUND, high=OBJECT)
    assert (match == IGNORED).any()
    head.loss(outputs._replace(logits=logits), targets)["class"].backward()
    gradient = torch.cat([level.grad for level in logits if level.grad is not None], 1)
    assert not gradient[match == IGNORED].any()
    assert gradient[match != IGNORED].all()


def test_the_loss_of_a_batch_is_the_mean_of_its_images() -> None:
    torch.manual_seed(0)
    head = RetinaNet(LEVELS, ["ant", "bee"], box_loss="giou")
    outputs, targets = head(maps(3), None, (64, 64)), boxes([[8, 8, 44, 40], [0, 0, 30, 30]], [], [[20, 4, 60, 60]])
    whole = head.loss(outputs, targets)
    by_image = [Boxes.join([of_image]) for of_image in targets.split(3)]
    single = [head.loss(outputs.image(number), of_image) for number, of_image in enumerate(by_image)]
    assert set(whole) == {"class", "box"}
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([terms[name] for terms in single]).mean())
    assert single[1]["box"] == 0
