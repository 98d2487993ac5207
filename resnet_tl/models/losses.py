"""Losses of dense detectors as sums, in fp32 under any autocast; whoever calls them divides."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.structures.boxes import giou

ALPHA, GAMMA = 0.25, 2.0


def focal_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The sum over anchors of weight x focal loss of all K classes (arXiv:1708.02002, equation 5; a = 0.25, g = 2).

    Nearly all answers are no, so that is computed for all and corrected where it is yes: without a dense target, and
    with the gradient made along with the value, in place. No other loss of a detector takes noticeable time.

    Args:
        logits: `[N, A, K]`.
        labels: `[N, A]` int64, the class that is there, negative where none is.
        weights: `[N, A]` fp32; 0 where an anchor is to learn nothing.
    """
    return _FocalLoss.apply(logits, labels, weights)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - GIoU of pairs `[M, 4]`, fp32 or fp64: `[M]`."""
    return 1 - giou(boxes, targets)


class _FocalLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        x = logits.to(torch.promote_types(logits.dtype, torch.float32))
        n, a = (labels >= 0).nonzero(as_tuple=True)
        there = n, a, labels[n, a]
        value, gradient = _no_everywhere(x, weights, with_gradient=ctx.needs_input_grad[0])
        correction, slope = _yes_for_no(x[there])
        if gradient is not None:
            gradient[there] = slope * weights[n, a]
            ctx.save_for_backward(gradient)
            ctx.dtype = logits.dtype
        return value + (correction * weights[n, a]).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer).to(ctx.dtype), None, None


def _no_everywhere(x: Tensor, weights: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """The weighted loss `(1 - a) p^g softplus(x)` of answers that are all no, and its gradient `[N, A, K]`."""
    p, cost = x.sigmoid(), F.softplus(x)
    factor = p**GAMMA
    value = (1 - ALPHA) * ((factor * cost).sum(-1) * weights).sum()
    if not with_gradient:
        return value, None
    cost.mul_(1 - p).mul_(GAMMA).add_(p)
    return value, cost.mul_(factor).mul_((1 - ALPHA) * weights[..., None])


def _yes_for_no(x: Tensor) -> tuple[Tensor, Tensor]:
    """How much more the loss is where the answer is yes, and its derivative there."""
    p = x.sigmoid()
    cost, factor = F.softplus(-x), ALPHA * (1 - p) ** GAMMA
    return factor * cost - (1 - ALPHA) * p**GAMMA * F.softplus(x), -factor * (GAMMA * p * cost + 1 - p)
