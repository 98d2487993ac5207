"""Suppression of a batch equals that of single images."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from resnet_tl.models.heads import suppression
from resnet_tl.models.heads.suppression import select_detections


@pytest.mark.parametrize("candidates", [12, 900], ids=["few", "many"])
@pytest.mark.parametrize("traced", [False, True])
def test_it_equals_nms_image_by_image(candidates: int, traced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    boxes = torch.rand(3, candidates, 4) * 60
    boxes[..., 2:] += boxes[..., :2]
    scores, labels = torch.rand(3, candidates), torch.randint(0, 4, (3, candidates))
    scores[1] *= 0.1
    monkeypatch.setattr(suppression.torch.compiler, "is_compiling", lambda: traced)
    detections = select_detections(boxes, scores, labels, score_threshold=0.2, nms_threshold=0.5, count=10)
    for number in range(3):
        alive = scores[number] > 0.2
        of = boxes[number][alive], scores[number][alive], labels[number][alive]
        keep = batched_nms(*of, 0.5)[:10]
        count = len(keep)
        assert torch.equal(detections.boxes[number, :count], of[0][keep])
        assert torch.equal(detections.scores[number, :count], of[1][keep])
        assert torch.equal(detections.labels[number, :count], of[2][keep])
        assert (detections.labels[number, count:] == -1).all()
        assert not detections.scores[number, count:].any()
        assert not detections.boxes[number, count:].any()
    assert (detections.labels[1] == -1).all()


def test_of_no_candidates_nothing_is_detected() -> None:
    found = select_detections(
        torch.zeros(2, 0, 4),
        torch.zeros(2, 0),
        torch.zeros(2, 0).long(),
        score_threshold=0.1,
        nms_threshold=0.5,
        count=9,
    )
    assert found.boxes.shape == (2, 0, 4)
    assert found.scores.shape == found.labels.shape == (2, 0)
