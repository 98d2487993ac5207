"""Losses equal torchvision's, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from resnet_tl.models.losses import focal_loss, giou_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_focal_loss_equals_torchvision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(2, 40, 5) * 4).to(dtype).requires_grad_()
    labels = torch.randint(-3, 5, (2, 40))
    weights = torch.rand(2, 40) * (torch.rand(2, 40) < 0.8)
    dense = torch.nn.functional.one_hot(labels.clamp(min=-1) + 1, 6)[..., 1:].float()
    expected = (sigmoid_focal_loss(logits.float(), dense).sum(-1) * weights).sum()
    value = focal_loss(logits, labels, weights)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    (3 * value).backward()
    found, logits.grad = logits.grad, None
    (3 * expected).backward()
    assert found.dtype == dtype
    torch.testing.assert_close(found, logits.grad, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-6)
    assert not found[weights == 0].any()


def test_focal_loss_of_extreme_logits_is_finite() -> None:
    logits = torch.tensor([[[-200.0, 200.0], [200.0, -200.0]]], requires_grad=True)
    value = focal_loss(logits, torch.tensor([[0, 0]]), torch.ones(1, 2))
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_giou_loss_equals_torchvision() -> None:
    boxes = torch.rand(30, 2, 4) * 20
    boxes[..., 2:] += boxes[..., :2] + 0.1
    one, other = boxes.unbind(1)
    torch.testing.assert_close(giou_loss(one, other), generalized_box_iou_loss(one, other))
