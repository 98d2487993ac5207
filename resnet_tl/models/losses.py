"""Losses of dense detectors as sums, in fp32 under any autocast; the caller divides them."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.structures.boxes import giou

ALPHA, GAMMA = 0.25, 2.0


def focal_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sums weight x focal loss over anchors and all K classes (arXiv:1708.02002, equation 5; a = 0.25, g = 2).

    Args:
        logits: `[N, A, K]`.
        labels: `[N, A]` int64, the class of each anchor's object, negative where there is none.
        weights: `[N, A]` fp32; 0 for anchors that are ignored.
    """
    if torch.compiler.is_compiling():
        return _dense_focal_loss(logits, labels, weights)
    return _FocalLoss.apply(logits, labels, weights)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Computes 1 - GIoU `[M]` of pairs of boxes `[M, 4]`, fp32 or fp64."""
    return 1 - giou(boxes, targets)


def _dense_focal_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The same in a form without shapes that depend on values, whose tensors a compiler fuses away."""
    x = logits.to(torch.promote_types(logits.dtype, torch.float32))
    positive = labels[..., None] == torch.arange(x.shape[-1], device=x.device)
    p = x.sigmoid()
    cost = torch.where(positive, ALPHA * (1 - p) ** GAMMA * F.softplus(-x), (1 - ALPHA) * p**GAMMA * F.softplus(x))
    return (cost.sum(-1) * weights).sum()


class _Context(Protocol):
    """The part of autograd's context that `_FocalLoss` uses."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]
    dtype: torch.dtype

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _FocalLoss(torch.autograd.Function):
    """Nearly all of the `N * A * K` targets are negative. So this computes the loss as if all were, without a dense
    target tensor, and then corrects the few positives. It builds the gradient along with the value, in place: autograd
    would store several tensors of the size of the logits, and no other loss of a detector takes noticeable time."""

    @staticmethod
    def forward(ctx: _Context, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Returns the scalar loss of logits `[N, A, K]`, labels `[N, A]` and weights `[N, A]`."""
        x = logits.to(torch.promote_types(logits.dtype, torch.float32))
        n, a = (labels >= 0).nonzero(as_tuple=True)
        positive = n, a, labels[n, a]
        value, gradient = _all_negative(x, weights, with_gradient=ctx.needs_input_grad[0])
        correction, slope = _positive_for_negative(x[positive])
        if gradient is not None:
            gradient[positive] = slope * weights[n, a]
            ctx.save_for_backward(gradient)
            ctx.dtype = logits.dtype
        return value + (correction * weights[n, a]).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer).to(ctx.dtype), None, None


def _all_negative(x: Tensor, weights: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Computes the weighted loss `(1 - a) p^g softplus(x)` of logits `[N, A, K]` whose targets are all negative, and
    its gradient `[N, A, K]`."""
    p, cost = x.sigmoid(), F.softplus(x)
    factor = p**GAMMA
    value = (1 - ALPHA) * ((factor * cost).sum(-1) * weights).sum()
    if not with_gradient:
        return value, None
    cost.mul_(1 - p).mul_(GAMMA).add_(p)
    return value, cost.mul_(factor).mul_((1 - ALPHA) * weights[..., None])


def _positive_for_negative(x: Tensor) -> tuple[Tensor, Tensor]:
    """Computes, for logits `[M]` of positive targets, the difference to the loss of negative ones, and the derivative
    of the loss."""
    p = x.sigmoid()
    cost, factor = F.softplus(-x), ALPHA * (1 - p) ** GAMMA
    return factor * cost - (1 - ALPHA) * p**GAMMA * F.softplus(x), -factor * (GAMMA * p * cost + 1 - p)
